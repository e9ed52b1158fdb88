#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

// Renyi differential privacy (Mironov 2017) of one or many releases: values[i] bounds the Renyi divergence of order
// orders[i]. Composition is addition. Thread-safe as plain data.
struct RdpCurve {
  std::vector<double> orders;  // each > 1, finite
  std::vector<double> values;  // each >= 0, may be infinite; as many as orders

  // Adds `other`, `times` times. Requires the same orders; checked.
  void Add(const RdpCurve& other, double times = 1);
};

// 1.1, 1.2 .. 10.9, then 11 .. 64, then 128, 256, 512, 1024: fine where few or many releases have their best order.
std::span<const double> StandardOrders();

// A curve of zeros over `orders`: nothing spent yet.
RdpCurve NothingSpent(std::span<const double> orders = StandardOrders());

struct PrivacyGuarantee {
  double epsilon = 0;
  double order = 0;  // the order that gave it
};

// The smallest epsilon of (epsilon, delta) differential privacy that the curve gives (Canonne, Kamath and Steinke
// 2020, proposition 12; the same as Balle et al. 2020 and Asoodeh et al. 2020 prove):
//   epsilon = value + ln(1 - 1/order) - ln(delta * order) / (order - 1), the least over all orders, not below 0.
// Every published constant that rdp_accountant_test.cc holds is of this conversion. The older one of Mironov 2017,
// value - ln(delta) / (order - 1), is looser (8.07 where this gives 7.33) and reproduces none of them.
// 0 if every value is 0, infinite if every value is. InvalidArgument unless 0 < delta < 1 and the curve has orders > 1
// and as many values.
absl::StatusOr<PrivacyGuarantee> EpsilonAt(const RdpCurve& curve, double delta);

// The inverse: the smallest delta at `epsilon` >= 0, at most 1. InvalidArgument likewise.
absl::StatusOr<double> DeltaAt(const RdpCurve& curve, double epsilon);

}  // namespace fleetune
