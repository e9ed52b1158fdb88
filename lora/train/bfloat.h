#pragma once

#include <bit>
#include <cstdint>
#include <span>

namespace fleetune {

// bf16, as bits, for loops that compilers vectorize: round to nearest even. Infinities and the NaNs that arithmetic
// makes stay what they are.
inline uint16_t RoundToBfloat(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
inline float BfloatValue(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Whole rows. Both spans are of one size; checked.
void ToBfloats(std::span<const float> values, std::span<uint16_t> out);
void FromBfloats(std::span<const uint16_t> values, std::span<float> out);

}  // namespace fleetune
