#include "aggregation/privacy/rdp_curve.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status CheckCurve(const RdpCurve& curve) {
  if (curve.orders.empty() || curve.orders.size() != curve.values.size()) {
    return absl::InvalidArgumentError(
        fmt::format("a privacy curve of {} orders and {} values", curve.orders.size(), curve.values.size()));
  }
  for (const double order : curve.orders) {
    if (!(order > 1 && std::isfinite(order))) {
      return absl::InvalidArgumentError(fmt::format("an order of a privacy curve is {}, not above 1", order));
    }
  }
  for (const double value : curve.values) {
    if (!(value >= 0)) return absl::InvalidArgumentError(fmt::format("a value of a privacy curve is {}", value));
  }
  return absl::OkStatus();
}

}  // namespace

void RdpCurve::Add(const RdpCurve& other, double times) {
  CHECK(orders == other.orders && values.size() == other.values.size() && times >= 0);
  if (times == 0) return;  // 0 * infinity is not a number
  for (size_t i = 0; i < values.size(); ++i) values[i] += times * other.values[i];
}

std::span<const double> StandardOrders() {
  static const std::vector<double> orders = [] {
    std::vector<double> made;
    for (int tenth = 11; tenth < 110; ++tenth) made.push_back(tenth / 10.0);
    for (int order = 11; order <= 64; ++order) made.push_back(order);
    for (int order = 128; order <= 1024; order *= 2) made.push_back(order);
    return made;
  }();
  return orders;
}

RdpCurve NothingSpent(std::span<const double> orders) {
  return {.orders = {orders.begin(), orders.end()}, .values = std::vector<double>(orders.size())};
}

absl::StatusOr<PrivacyGuarantee> EpsilonAt(const RdpCurve& curve, double delta) {
  RETURN_IF_ERROR(CheckCurve(curve));
  if (!(delta > 0 && delta < 1)) return absl::InvalidArgumentError(fmt::format("delta is {}, not in (0, 1)", delta));
  if (std::ranges::all_of(curve.values, [](double value) { return value == 0; })) {
    return PrivacyGuarantee{.epsilon = 0, .order = curve.orders.back()};
  }
  PrivacyGuarantee best = {.epsilon = std::numeric_limits<double>::infinity(), .order = curve.orders.front()};
  for (size_t i = 0; i < curve.orders.size(); ++i) {
    const double order = curve.orders[i];
    const double epsilon = curve.values[i] + std::log1p(-1 / order) - std::log(delta * order) / (order - 1);
    if (epsilon < best.epsilon) best = {.epsilon = epsilon, .order = order};
  }
  best.epsilon = std::max(best.epsilon, 0.0);
  return best;
}

absl::StatusOr<double> DeltaAt(const RdpCurve& curve, double epsilon) {
  RETURN_IF_ERROR(CheckCurve(curve));
  if (!(epsilon >= 0)) return absl::InvalidArgumentError(fmt::format("epsilon is {}, not 0 or more", epsilon));
  double best = 0;  // ln 1
  for (size_t i = 0; i < curve.orders.size(); ++i) {
    const double order = curve.orders[i];
    const double log_delta = (order - 1) * (curve.values[i] - epsilon + std::log1p(-1 / order)) - std::log(order);
    best = std::min(best, log_delta);
  }
  return std::exp(best);
}

}  // namespace fleetune
