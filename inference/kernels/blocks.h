#pragma once

#include <cstdint>
#include <span>

#include "absl/status/status.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {

// Rows of quantized blocks to floats and back, of every TensorType. The layouts are those of GGUF; blocks may
// lie at any address. Thread-safe; nothing here allocates.

// values.size() elements from `blocks`. Requires values.size() a multiple of BlockElements(type) and blocks.size()
// the bytes of as many; checked.
void Dequantize(TensorType type, std::span<const uint8_t> blocks, std::span<float> values);

// The inverse, rounding to nearest as ggml's reference does: Q8_0 d = amax / 127, Q4_0 d = (value of
// largest magnitude) / -8; Q4_K and Q6_K plainly, see super_blocks.h. Same requirements. Infinite or NaN values are the caller's to refuse.
void Quantize(TensorType type, std::span<const float> values, std::span<uint8_t> blocks);

// IEEE half and bfloat16, both ways, round to nearest even.
float HalfToFloat(uint16_t half);
uint16_t FloatToHalf(float value);
float BfloatToFloat(uint16_t bfloat);
uint16_t FloatToBfloat(float value);

}  // namespace fleetune
