#pragma once

#include <cstddef>
#include <cstdint>

namespace fleetune {

// The format's blocks of 256 weights with scales of their own inside: Q4_K and Q6_K. What they hold, taken apart and put
// together; blocks may lie at any address. Thread-safe; nothing here allocates.

inline constexpr size_t kSuperBlock = 256;

// weight[i] = scale * scales[i / 32] * codes[i] - min * mins[i / 32]
struct Q4KBlock {
  float scale = 0;
  float min = 0;
  uint8_t scales[8];             // 0 .. 63
  uint8_t mins[8];               // 0 .. 63
  uint8_t codes[kSuperBlock];    // 0 .. 15
};
inline constexpr size_t kQ4KBytes = 144;
Q4KBlock ReadQ4K(const uint8_t* block);

// weight[i] = scale * scales[i / 16] * (codes[i] - 32)
struct Q6KBlock {
  float scale = 0;
  int8_t scales[16];
  uint8_t codes[kSuperBlock];    // 0 .. 63
};
inline constexpr size_t kQ6KBytes = 210;
Q6KBlock ReadQ6K(const uint8_t* block);

// 256 values to or from one block. Quantizing rounds once: groups get the range of their values, and these ranges are
// rounded to the block's scale.
void DequantizeQ4K(const uint8_t* block, float* values);
void DequantizeQ6K(const uint8_t* block, float* values);
void QuantizeQ4K(const float* values, uint8_t* block);
void QuantizeQ6K(const float* values, uint8_t* block);

}  // namespace fleetune
