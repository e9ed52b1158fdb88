#include "aggregation/secagg/graph_parameters.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "aggregation/secagg/graph_parameters_tail.h"
#include "aggregation/secagg/shamir.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

static_assert(kMaxGraphDevices <= kMaxSeats);

// 0.29 * 100 is a little less than 29 in binary: what is meant is 29.
constexpr double kRoundingSlack = 1e-9;

struct Cohort {
  uint32_t size = 0;
  uint32_t adversarial = 0;  // A
  uint32_t dropped = 0;      // D
  Profile profile = Profile::kHonestButCurious;
};

bool IsShare(double share) { return share >= 0 && share < kMaxShare; }

absl::StatusOr<Cohort> MakeCohort(uint32_t size, double adversarial, double dropout, Profile profile) {
  if (size < kMinGraphDevices || size > kMaxGraphDevices) {
    return absl::InvalidArgumentError(
        fmt::format("cohort: expected {} to {} devices, got {}", kMinGraphDevices, kMaxGraphDevices, size));
  }
  if (!IsShare(adversarial) || !IsShare(dropout)) {
    return absl::InvalidArgumentError(fmt::format("adversarial and dropout: expected shares in [0, {}), got {} and {}",
                                                  kMaxShare, adversarial, dropout));
  }
  if (!(adversarial + dropout < kMaxAdversarialPlusDropout)) {
    return absl::InvalidArgumentError(
        fmt::format("adversarial + dropout: expected less than 2/3, got {} + {}", adversarial, dropout));
  }
  if (profile != Profile::kHonestButCurious && profile != Profile::kMalicious) {
    return absl::InvalidArgumentError(fmt::format("profile: expected {} or {}, got {}",
                                                  static_cast<int>(Profile::kHonestButCurious),
                                                  static_cast<int>(Profile::kMalicious), static_cast<int>(profile)));
  }
  const Cohort cohort{.size = size,
                      .adversarial = static_cast<uint32_t>(std::floor(adversarial * size + kRoundingSlack)),
                      .dropped = static_cast<uint32_t>(std::floor(dropout * size + kRoundingSlack)),
                      .profile = profile};
  if (cohort.adversarial + cohort.dropped + 2 > size) {
    return absl::InvalidArgumentError(
        fmt::format("cohort of {} with {} adversarial and {} dropped: expected at least 2 honest survivors", size,
                    cohort.adversarial, cohort.dropped));
  }
  return cohort;
}

// Looks for a sparse graph. Keeps what is the same for all numbers of neighbours.
class SparseSearch {
 public:
  explicit SparseSearch(const Cohort& cohort)
      : cohort_(cohort),
        malicious_(cohort.profile == Profile::kMalicious),
        security_bits_(malicious_ ? kMaliciousSecurityBits : kSecurityBits),
        tail_(cohort.size) {}

  std::optional<GraphParameters> SmallestGraph() const {
    for (uint32_t neighbours = 2; neighbours + 1 < cohort_.size; neighbours += 2) {
      if (!StaysConnected(neighbours)) continue;
      const uint32_t threshold = LeastThreshold(neighbours);
      if (threshold <= neighbours && EnoughSurvive(neighbours, threshold)) {
        return GraphParameters{.neighbours = neighbours, .threshold = threshold, .complete = false};
      }
    }
    return std::nullopt;
  }

 private:
  // C1.
  bool StaysConnected(uint32_t neighbours) const {
    const uint32_t lost = cohort_.adversarial + cohort_.dropped;
    const double size = cohort_.size;
    return size * (size - neighbours - 1) / 2 * tail_.AtLeast(neighbours, cohort_.size, lost, neighbours) <
           std::ldexp(1.0, -security_bits_ - 1);
  }

  // C2, and C3 in M. Above `neighbours` if there is none.
  uint32_t LeastThreshold(uint32_t neighbours) const {
    const uint32_t adversarial = MostAdversarialNeighbours(neighbours);
    if (!malicious_) return std::max(adversarial + 1, kMinThreshold);
    uint32_t threshold = std::max((neighbours + adversarial) / 2 + 1, kMinThreshold);
    while (threshold <= neighbours && !WithstandsLiesAboutSurvivors(neighbours, threshold)) ++threshold;
    return threshold;
  }

  // a of C2: the tail falls as a rises, so that halving finds it.
  uint32_t MostAdversarialNeighbours(uint32_t neighbours) const {
    const double bound = std::ldexp(1.0, -security_bits_ - 1) / cohort_.size;
    uint32_t low = 0;
    uint32_t high = std::min(neighbours, cohort_.adversarial);  // more than these there are not
    while (low < high) {
      const uint32_t middle = low + (high - low) / 2;
      if (tail_.AtLeast(int64_t{middle} + 1, cohort_.size, cohort_.adversarial, neighbours) <= bound) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }

  // C3, of which both sides are the square roots.
  bool WithstandsLiesAboutSurvivors(uint32_t neighbours, uint32_t threshold) const {
    static_assert(kMaliciousSecurityBits % 2 == 0);
    const uint32_t half = neighbours / 2;
    const double probability = tail_.AtLeast(int64_t{threshold} - half - 1, cohort_.size, cohort_.adversarial, half);
    return cohort_.size * probability <= std::ldexp(1.0, -security_bits_ / 2);
  }

  // S.
  bool EnoughSurvive(uint32_t neighbours, uint32_t threshold) const {
    return tail_.AtLeast(int64_t{neighbours} - threshold + 1, cohort_.size, cohort_.dropped, neighbours) <=
           std::ldexp(1.0, -kFailureBits) / cohort_.size;
  }

  Cohort cohort_;
  bool malicious_;
  int security_bits_;
  HypergeometricTail tail_;
};

absl::StatusOr<GraphParameters> CompleteGraph(const Cohort& cohort) {
  GraphParameters graph{.neighbours = cohort.size - 1, .threshold = (cohort.size + 1) / 2, .complete = true};
  if (cohort.profile == Profile::kHonestButCurious) return graph;
  graph.threshold = (cohort.size + cohort.adversarial) / 2 + 1;
  if (graph.threshold + cohort.dropped > cohort.size) {
    return absl::InvalidArgumentError(
        fmt::format("cohort of {} with {} adversarial and {} dropped: expected at least the threshold, {}, to survive",
                    cohort.size, cohort.adversarial, cohort.dropped, graph.threshold));
  }
  return graph;
}

}  // namespace

absl::StatusOr<GraphParameters> ComputeGraphParameters(uint32_t cohort_size, double adversarial, double dropout,
                                                       Profile profile) {
  ASSIGN_OR_RETURN(const Cohort cohort, MakeCohort(cohort_size, adversarial, dropout, profile));
  const uint32_t max_complete = profile == Profile::kMalicious ? kMaxCompleteMalicious : kMaxCompleteHonestButCurious;
  if (cohort.size > max_complete) {
    const std::optional<GraphParameters> sparse = SparseSearch(cohort).SmallestGraph();
    if (sparse.has_value()) return *sparse;
  }
  return CompleteGraph(cohort);
}

}  // namespace fleetune::secagg
