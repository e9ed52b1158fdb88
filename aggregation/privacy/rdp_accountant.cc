#include "aggregation/privacy/rdp_accountant.h"

#include <fmt/format.h>

#include <cmath>

#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr double kSmallestMultiplier = 0.01;
constexpr double kLargestMultiplier = 1e6;

absl::StatusOr<PrivacyGuarantee> EpsilonOf(const RdpCurve& one, uint64_t releases, double delta) {
  RdpCurve all = NothingSpent(one.orders);
  all.Add(one, static_cast<double>(releases));
  return EpsilonAt(all, delta);
}

}  // namespace

absl::StatusOr<PrivacyGuarantee> EpsilonOfGaussian(const SampledGaussian& gaussian, uint64_t releases, double delta,
                                                   std::span<const double> orders) {
  ASSIGN_OR_RETURN(const RdpCurve one, GaussianRdp(gaussian, orders));
  return EpsilonOf(one, releases, delta);
}

absl::StatusOr<PrivacyGuarantee> EpsilonOfSkellam(const SkellamRelease& release, uint64_t releases, double delta,
                                                  std::span<const double> orders) {
  ASSIGN_OR_RETURN(const RdpCurve one, SkellamRdp(release, orders));
  return EpsilonOf(one, releases, delta);
}

absl::StatusOr<double> NoiseMultiplierFor(const GaussianBudget& budget) {
  if (!(budget.epsilon > 0))
    return absl::InvalidArgumentError(fmt::format("epsilon is {}, not above 0", budget.epsilon));
  if (budget.releases == 0) return absl::InvalidArgumentError("releases is 0");
  const auto within = [&budget](double multiplier) -> absl::StatusOr<bool> {
    const SampledGaussian gaussian = {.noise_multiplier = multiplier, .sampling_rate = budget.sampling_rate};
    ASSIGN_OR_RETURN(const PrivacyGuarantee spent, EpsilonOfGaussian(gaussian, budget.releases, budget.delta));
    return spent.epsilon <= budget.epsilon;
  };
  ASSIGN_OR_RETURN(const bool possible, within(kLargestMultiplier));
  if (!possible) {
    return absl::InvalidArgumentError(fmt::format("no noise keeps {} releases within epsilon {} at delta {}",
                                                  budget.releases, budget.epsilon, budget.delta));
  }
  // Doubled from 1 up, then halved between: small multipliers make long sums, so they are tried last.
  double high = 1;
  for (;; high *= 2) {
    ASSIGN_OR_RETURN(const bool enough, within(high));
    if (enough) break;
  }
  double low = high > 1 ? high / 2 : kSmallestMultiplier;
  while (high - low > 1e-6 * low) {
    const double middle = std::sqrt(low * high);
    ASSIGN_OR_RETURN(const bool enough, within(middle));
    (enough ? high : low) = middle;
  }
  return high;
}

}  // namespace fleetune
