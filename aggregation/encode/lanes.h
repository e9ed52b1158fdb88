#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"

namespace fleetune {

// How many bits a ring element has, in the arithmetic (mod 2^bits) and on the wire alike. The numbers are wire values.
enum class LaneBits : uint8_t { k16 = 16, k24 = 24, k32 = 32 };

inline constexpr LaneBits kAllLaneBits[] = {LaneBits::k16, LaneBits::k24, LaneBits::k32};

// InvalidArgument unless `bits` is 16, 24 or 32.
absl::StatusOr<LaneBits> LaneFromBits(uint32_t bits);

constexpr uint32_t BitsOf(LaneBits lane) { return static_cast<uint32_t>(lane); }
constexpr uint64_t LaneBytes(LaneBits lane) { return BitsOf(lane) / 8; }
constexpr uint32_t LaneMask(LaneBits lane) { return UINT32_MAX >> (32 - BitsOf(lane)); }

// The element as the number nearest to zero that it stands for: two's complement of `lane` bits. Bits above are
// ignored.
constexpr int32_t SignedElement(uint32_t element, LaneBits lane) {
  const uint32_t above = 32 - BitsOf(lane);
  return static_cast<int32_t>(element << above) >> above;  // arithmetic since C++20
}

// All functions below are thread-safe for different output, and ignore bits of an element above its lane.

// The lowest LaneBytes(lane) bytes of each element, little-endian, without gaps.
std::vector<uint8_t> PackLanes(std::span<const uint32_t> ring, LaneBits lane);

// The inverse. DataLoss unless `packed` has exactly length * LaneBytes(lane) bytes.
absl::StatusOr<RingVector> UnpackLanes(std::span<const uint8_t> packed, LaneBits lane, uint64_t length);

// sum[i] += element i of `packed`, at the speed of memory, without unpacking first. Chunks of an upload may be added
// one by one into the matching parts of the sum, if they are cut between elements. Elements of the sum are mod 2^32:
// cut them to the lane, as SignedElement and PackLanes do, when all inputs are in. DataLoss, with the sum unchanged,
// unless `packed` has exactly sum.size() * LaneBytes(lane) bytes.
absl::Status AddPackedToSum(std::span<const uint8_t> packed, LaneBits lane, std::span<uint32_t> sum);

// The same for lanes of 16 bits, with half the memory for the sum.
absl::Status AddPackedToSum(std::span<const uint8_t> packed, std::span<uint16_t> sum);

// A sum of 16-bit lanes as ring elements.
RingVector Widen(std::span<const uint16_t> sum);

}  // namespace fleetune
