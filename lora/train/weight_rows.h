#pragma once

#include <cstdint>
#include <span>

#include "inference/gguf/gguf_file.h"

namespace fleetune {

// Rows of a weight matrix for matrix products: as f32, or as bf16 in one pass over the blocks. The same values as
// Dequantize (inference/kernels/blocks.h) gives, to the bit; bf16 rounds them to nearest even. Same requirements.
// Thread-safe, allocates nothing. Values are finite, as those of a model file must be.
void ReadWeightRows(TensorType type, std::span<const uint8_t> blocks, std::span<float> values);
void ReadWeightRows(TensorType type, std::span<const uint8_t> blocks, std::span<uint16_t> bfloats);

}  // namespace fleetune
