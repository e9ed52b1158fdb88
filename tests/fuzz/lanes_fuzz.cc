// Packed ring elements, as devices upload them: a byte that picks the lane, then the bytes of the input.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "aggregation/encode/lanes.h"
#include "base/check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fleetune;
  if (size == 0) return 0;
  const LaneBits lane = kAllLaneBits[data[0] % 3];
  const std::span<const uint8_t> packed(data + 1, size - 1);
  const uint64_t length = packed.size() / LaneBytes(lane);
  const auto ring = UnpackLanes(packed, lane, length);
  RingVector sum(length, 7);
  const absl::Status added = AddPackedToSum(packed, lane, sum);
  CHECK(ring.ok() == (packed.size() % LaneBytes(lane) == 0));
  CHECK(added.ok() == ring.ok());
  if (!ring.ok()) return 0;
  const std::vector<uint8_t> again = PackLanes(*ring, lane);
  CHECK(std::vector<uint8_t>(packed.begin(), packed.end()) == again);
  for (size_t i = 0; i < sum.size(); ++i) CHECK(((sum[i] - (*ring)[i] - 7) & LaneMask(lane)) == 0);
  return 0;
}
