#include "inference/runtime/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/check.h"

namespace fleetune {

absl::StatusOr<int32_t> Sampler::Sample(std::span<const float> logits) {
  CHECK(!logits.empty());
  for (const float logit : logits) {
    if (!std::isfinite(logit)) return absl::InternalError("the model's logits are not finite");
  }
  if (options_.temperature == 0) {
    return static_cast<int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
  }
  // Likeliest first; of equals the first, so that the choice does not hang on the sort.
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  const auto likelier = [logits](int32_t a, int32_t b) {
    const float x = logits[static_cast<size_t>(a)];
    const float y = logits[static_cast<size_t>(b)];
    return x != y ? x > y : a < b;
  };
  const size_t kept = options_.top_k == 0 ? order.size() : std::min<size_t>(options_.top_k, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<ptrdiff_t>(kept), order.end(), likelier);
  order.resize(kept);

  std::vector<double> weights;
  const double highest = static_cast<double>(logits[static_cast<size_t>(order[0])]);
  double total = 0;
  for (const int32_t token : order) {
    const double difference = static_cast<double>(logits[static_cast<size_t>(token)]) - highest;
    weights.push_back(std::exp(difference / static_cast<double>(options_.temperature)));
    total += weights.back();
  }
  if (options_.top_p < 1) {
    const double wanted = total * static_cast<double>(options_.top_p);
    size_t count = 0;
    for (total = 0; count < weights.size() && total < wanted; ++count) total += weights[count];
    weights.resize(std::max<size_t>(count, 1));
  }
  double left = random_.NextUnit() * total;
  for (size_t i = 0; i < weights.size(); ++i) {
    left -= weights[i];
    if (left < 0) return order[i];
  }
  return order[weights.size() - 1];  // rounding left a crumb
}

}  // namespace fleetune
