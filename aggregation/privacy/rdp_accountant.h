#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "aggregation/privacy/gaussian_rdp.h"
#include "aggregation/privacy/rdp_curve.h"
#include "aggregation/privacy/skellam_rdp.h"

namespace fleetune {

// What a planned number of equal releases costs together, and the noise that a budget calls for. Every function
// returns InvalidArgument for a field out of range. Pure, so thread-safe.

// Epsilon at `delta` of `releases` Gaussian sums.
absl::StatusOr<PrivacyGuarantee> EpsilonOfGaussian(const SampledGaussian& gaussian, uint64_t releases, double delta,
                                                   std::span<const double> orders = StandardOrders());

// Epsilon at `delta` of `releases` Skellam sums, to whoever chose their members.
absl::StatusOr<PrivacyGuarantee> EpsilonOfSkellam(const SkellamRelease& release, uint64_t releases, double delta,
                                                  std::span<const double> orders = StandardOrders());

// What Gaussian sums may cost together.
struct GaussianBudget {
  double epsilon = 1;        // > 0
  double delta = 1e-6;       // (0, 1)
  double sampling_rate = 1;  // [0, 1]
  uint64_t releases = 1;     // >= 1
};

// The smallest noise multiplier in [0.01, 1e6] within the budget, to a relative 1e-6 (never below it).
// InvalidArgument if 1e6 is not enough.
absl::StatusOr<double> NoiseMultiplierFor(const GaussianBudget& budget);

}  // namespace fleetune
