#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace fleetune {

// Integers mod 2^b, held in 32 bits each: sums of them, masked or not, are exact. b is 16, 24 or 32 (lanes.h); the
// bits above b mean nothing until somebody cuts them off, so arithmetic here is plainly mod 2^32.
using RingVector = std::vector<uint32_t>;

inline constexpr uint32_t kMaxSummedInputs = 4096;         // devices a sum
inline constexpr uint64_t kMaxEncodedValues = 1ull << 28;  // 1 GiB of floats

// sum += input, element by element in the ring. Requires equal sizes; checked. Thread-safe for different sums.
void AddToSum(std::span<const uint32_t> input, std::span<uint32_t> sum);

}  // namespace fleetune
