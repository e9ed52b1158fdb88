#include "aggregation/privacy/skellam_rdp.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

double RdpAtWholeOrder(const SkellamRelease& release, double order) {
  const double square = release.sensitivity.l2 * release.sensitivity.l2;
  const double m = release.variance;
  const double like_gaussian = order * square / (2 * m);
  const double first = ((2 * order - 1) * square + 6 * release.sensitivity.l1) / (4 * m * m);
  const double second = 3 * release.sensitivity.l1 / (2 * m);
  return like_gaussian + std::min(first, second);
}

// The logarithms of the theorem's sum, each term with its factor (3 from the third on).
double AmplifiedAtWholeOrder(const SkellamRelease& release, double order) {
  const double q = release.sampling_rate;
  const double log_stays = std::log1p(-q);
  double sum = (order - 1) * log_stays + std::log(order * q - q + 1);
  double log_binomial = std::log(order);  // of order over 1
  for (double l = 2; l <= order; ++l) {
    log_binomial += std::log((order - l + 1) / l);
    const double term = log_binomial + (order - l) * log_stays + l * std::log(q) +
                        (l - 1) * RdpAtWholeOrder(release, l) + (l > 2 ? std::log(3.0) : 0.0);
    const double larger = std::max(sum, term);
    sum = larger + std::log1p(std::exp(std::min(sum, term) - larger));
  }
  return std::max(sum, 0.0) / (order - 1);
}

template <typename AtWholeOrder>
absl::StatusOr<RdpCurve> Curve(const SkellamRelease& release, std::span<const double> orders, AtWholeOrder value) {
  RETURN_IF_ERROR(Validate(release));
  RdpCurve curve = NothingSpent(orders);
  for (size_t i = 0; i < orders.size(); ++i) {
    if (!(orders[i] > 1 && std::isfinite(orders[i]))) {
      return absl::InvalidArgumentError(fmt::format("an order is {}, not above 1", orders[i]));
    }
    const double whole = std::ceil(orders[i]);
    // Orders rise, so the value of the whole order before is often the same.
    const bool again = i > 0 && whole == std::ceil(orders[i - 1]);
    curve.values[i] = again ? curve.values[i - 1] : value(whole);
  }
  return curve;
}

}  // namespace

IntegerSensitivity RoundedSensitivity(double scaled_clip, uint64_t dimension) {
  CHECK(scaled_clip >= 0);
  const double d = static_cast<double>(dimension);
  const double c = scaled_clip;
  const double always = c + std::sqrt(d);
  const double with_retries = std::sqrt(c * c + d / 4 + c + std::sqrt(d) / 2);
  const double l2 = std::min(always, with_retries);
  return {.l2 = l2, .l1 = std::min(std::sqrt(d) * l2, l2 * l2)};
}

absl::Status Validate(const SkellamRelease& release) {
  const auto check = [](const char* name, double value, double least, double most) {
    if (value >= least && value <= most) return absl::OkStatus();
    return absl::InvalidArgumentError(
        fmt::format("{} of a release is {}, not in [{:.3g}, {:.3g}]", name, value, least, most));
  };
  RETURN_IF_ERROR(check("sensitivity.l2", release.sensitivity.l2, 0, kMaxReleaseL2));
  RETURN_IF_ERROR(check("sensitivity.l1", release.sensitivity.l1, 0, kMaxReleaseL2 * kMaxReleaseL2));
  RETURN_IF_ERROR(check("variance", release.variance, kMinReleaseVariance, kMaxReleaseVariance));
  return check("sampling_rate", release.sampling_rate, 0, 1);
}

absl::StatusOr<RdpCurve> SkellamRdp(const SkellamRelease& release, std::span<const double> orders) {
  return Curve(release, orders, [&release](double order) { return RdpAtWholeOrder(release, order); });
}

absl::StatusOr<RdpCurve> AmplifiedSkellamRdp(const SkellamRelease& release, std::span<const double> orders) {
  return Curve(release, orders, [&release](double order) {
    const double plain = RdpAtWholeOrder(release, order);
    if (release.sampling_rate == 0) return 0.0;
    if (release.sampling_rate == 1) return plain;
    return std::min(plain, AmplifiedAtWholeOrder(release, order));
  });
}

}  // namespace fleetune
