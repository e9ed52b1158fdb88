#pragma once

#include <span>

#include "absl/status/statusor.h"
#include "aggregation/privacy/rdp_curve.h"

namespace fleetune {

// A sum of clipped vectors with Gaussian noise, each person in it with probability `sampling_rate` independently.
struct SampledGaussian {
  double noise_multiplier = 1;  // standard deviation / clip, > 0
  double sampling_rate = 1;     // [0, 1]; 1: everybody is in every sum
};

// The Renyi divergence of one release at each order (Mironov, Talwar and Zhang 2019: the closed sum of section
// 3.3 at whole orders, the two series of section 3.4 at others), in logarithms throughout. Absolute error below
// 1e-11 / (order - 1) for noise multipliers of 0.3 and more. Infinite where it overflows a double.
// InvalidArgument naming the field out of range, or for an order not above 1.
absl::StatusOr<RdpCurve> GaussianRdp(const SampledGaussian& gaussian,
                                     std::span<const double> orders = StandardOrders());

}  // namespace fleetune
