#include "aggregation/encode/ring.h"

#include <cstddef>

#include "base/check.h"

namespace fleetune {

void AddToSum(std::span<const uint32_t> input, std::span<uint32_t> sum) {
  CHECK(input.size() == sum.size());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += input[i];
}

}  // namespace fleetune
