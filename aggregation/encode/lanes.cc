#include "aggregation/encode/lanes.h"

#include <cstddef>
#include <cstring>
#include <string>

#include "base/bytes.h"  // asserts a little-endian machine
#include "base/status_macros.h"

namespace fleetune {
namespace {

absl::Status CheckSize(size_t bytes, LaneBits lane, uint64_t elements) {
  if (elements <= UINT64_MAX / LaneBytes(lane) && bytes == elements * LaneBytes(lane)) return absl::OkStatus();
  return absl::DataLossError("expected " + std::to_string(elements) + " ring elements of " +
                             std::to_string(LaneBytes(lane)) + " bytes, got " + std::to_string(bytes) + " bytes");
}

// Elements that the machine has a type for. The build lets these loops vectorise (CMakeLists.txt), which needs to know
// that the two do not overlap.
template <typename T, typename Sum>
void AddWhole(const uint8_t* __restrict packed, Sum* __restrict sum, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    T element;
    std::memcpy(&element, packed + i * sizeof(T), sizeof element);
    sum[i] = static_cast<Sum>(sum[i] + element);
  }
}

uint32_t ReadThree(const uint8_t* bytes) { return bytes[0] | uint32_t{bytes[1]} << 8 | uint32_t{bytes[2]} << 16; }

// Four elements are three words; bits above the lane may hold anything.
void AddThrees(const uint8_t* __restrict packed, uint32_t* __restrict sum, size_t size) {
  const size_t whole = size / 4 * 4;
  for (size_t i = 0; i < whole; i += 4) {
    uint32_t words[3];
    std::memcpy(words, packed + 3 * i, sizeof words);
    sum[i] += words[0];
    sum[i + 1] += words[0] >> 24 | words[1] << 8;
    sum[i + 2] += words[1] >> 16 | words[2] << 16;
    sum[i + 3] += words[2] >> 8;
  }
  for (size_t i = whole; i < size; ++i) sum[i] += ReadThree(packed + 3 * i);
}

template <typename T>
void CopyWhole(const uint32_t* __restrict ring, uint8_t* __restrict packed, size_t size) {
  for (size_t i = 0; i < size; ++i) {
    const T element = static_cast<T>(ring[i]);
    std::memcpy(packed + i * sizeof(T), &element, sizeof element);
  }
}

void CopyThrees(const uint32_t* __restrict ring, uint8_t* __restrict packed, size_t size) {
  const size_t whole = size / 4 * 4;
  for (size_t i = 0; i < whole; i += 4) {
    constexpr uint32_t kMask = LaneMask(LaneBits::k24);
    const uint32_t words[3] = {(ring[i] & kMask) | ring[i + 1] << 24, (ring[i + 1] & kMask) >> 8 | ring[i + 2] << 16,
                               (ring[i + 2] & kMask) >> 16 | ring[i + 3] << 8};
    std::memcpy(packed + 3 * i, words, sizeof words);
  }
  for (size_t i = whole; i < size; ++i) std::memcpy(packed + 3 * i, &ring[i], 3);
}

void Add(const uint8_t* packed, LaneBits lane, std::span<uint32_t> sum) {
  switch (lane) {
    case LaneBits::k16:
      return AddWhole<uint16_t>(packed, sum.data(), sum.size());
    case LaneBits::k24:
      return AddThrees(packed, sum.data(), sum.size());
    case LaneBits::k32:
      return AddWhole<uint32_t>(packed, sum.data(), sum.size());
  }
}

}  // namespace

absl::StatusOr<LaneBits> LaneFromBits(uint32_t bits) {
  for (const LaneBits lane : kAllLaneBits) {
    if (BitsOf(lane) == bits) return lane;
  }
  return absl::InvalidArgumentError("lane: expected 16, 24 or 32 bits, got " + std::to_string(bits));
}

std::vector<uint8_t> PackLanes(std::span<const uint32_t> ring, LaneBits lane) {
  std::vector<uint8_t> packed(ring.size() * LaneBytes(lane));
  switch (lane) {
    case LaneBits::k16:
      CopyWhole<uint16_t>(ring.data(), packed.data(), ring.size());
      break;
    case LaneBits::k24:
      CopyThrees(ring.data(), packed.data(), ring.size());
      break;
    case LaneBits::k32:
      CopyWhole<uint32_t>(ring.data(), packed.data(), ring.size());
      break;
  }
  return packed;
}

absl::StatusOr<RingVector> UnpackLanes(std::span<const uint8_t> packed, LaneBits lane, uint64_t length) {
  RETURN_IF_ERROR(CheckSize(packed.size(), lane, length));
  RingVector ring(length);
  Add(packed.data(), lane, ring);
  for (uint32_t& element : ring) element &= LaneMask(lane);
  return ring;
}

absl::Status AddPackedToSum(std::span<const uint8_t> packed, LaneBits lane, std::span<uint32_t> sum) {
  RETURN_IF_ERROR(CheckSize(packed.size(), lane, sum.size()));
  Add(packed.data(), lane, sum);
  return absl::OkStatus();
}

absl::Status AddPackedToSum(std::span<const uint8_t> packed, std::span<uint16_t> sum) {
  RETURN_IF_ERROR(CheckSize(packed.size(), LaneBits::k16, sum.size()));
  AddWhole<uint16_t>(packed.data(), sum.data(), sum.size());
  return absl::OkStatus();
}

RingVector Widen(std::span<const uint16_t> sum) { return {sum.begin(), sum.end()}; }

}  // namespace fleetune
