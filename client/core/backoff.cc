#include "client/core/backoff.h"

#include <algorithm>

namespace fleetune {

std::chrono::milliseconds BackoffDelay(uint32_t failures, const BackoffOptions& options, RandomSource& random) {
  const uint32_t doublings = std::min<uint32_t>(failures == 0 ? 0 : failures - 1, 30);
  const int64_t longest = std::min<int64_t>(options.first.count() << doublings, options.most.count());
  const int64_t half = longest / 2;
  return std::chrono::milliseconds(half + static_cast<int64_t>(random.Below(static_cast<uint64_t>(longest - half) + 1)));
}

}  // namespace fleetune
