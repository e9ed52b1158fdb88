#include "inference/runtime/log_probabilities.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"
#include "inference/kernels/lane_kernels.h"

namespace fleetune {

std::vector<TokenProbability> LogProbabilities(std::span<const float> logits, int32_t chosen, uint32_t count,
                                               InstructionSet set) {
  CHECK(chosen >= 0 && static_cast<size_t>(chosen) < logits.size());
  const LaneKernels& lanes = LaneKernelsOf(set);
  const float highest = lanes.largest(logits.data(), logits.size());
  std::vector<float> weights(logits.size());
  lanes.exponentials(logits.data(), logits.size(), highest, 1, weights.data());
  double total = 0;
  for (const float weight : weights) total += static_cast<double>(weight);
  const double log_total = static_cast<double>(highest) + std::log(total);
  const auto of = [&](int32_t token) {
    return TokenProbability{
        .token = token,
        .log_probability = std::min(0.0, static_cast<double>(logits[static_cast<size_t>(token)]) - log_total)};
  };
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto end = order.begin() + static_cast<ptrdiff_t>(std::min<size_t>(count, order.size()));
  std::partial_sort(order.begin(), end, order.end(), [logits](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  });
  std::vector<TokenProbability> found = {of(chosen)};
  for (auto token = order.begin(); token != end; ++token) found.push_back(of(*token));
  return found;
}

}  // namespace fleetune
