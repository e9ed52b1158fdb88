#pragma once

#include <cstdint>
#include <span>

#include "inference/gguf/gguf_file.h"
#include "inference/kernels/product.h"

namespace fleetune {

// A matrix in panels of 16 rows (panel_layout.h), rows after the last being zero. A view; `data` begins at a multiple of
// 64 bytes.
struct PackedMatrix {
  TensorType type = TensorType::kF32;
  uint64_t rows = 0;
  uint64_t columns = 0;
  std::span<const uint8_t> data;  // PackedBytes
  bool half_blocks = false;  // of Q8_0: the last 16 columns of each block are zero, and not held
};

// Bytes of such a matrix, a multiple of 32. Requires columns > 0 and a multiple of BlockElements(type), and Q8_0 of half blocks;
// checked.
uint64_t PackedBytes(TensorType type, uint64_t rows, uint64_t columns, bool half_blocks = false);

// Rearranges the rows of `w`; no value changes. Requires out.size() == PackedBytes, and zeros where half blocks hold nothing;
// checked. Thread-safe.
void PackRows(const WeightMatrix& w, std::span<uint8_t> out, bool half_blocks = false);

// What row `row` of the packed matrix stands for: the bits that Dequantize gives for the row that was packed. Requires
// row < w.rows, values.size() == w.columns and whole blocks; checked. Thread-safe.
void UnpackRow(const PackedMatrix& w, uint64_t row, std::span<float> values);

}  // namespace fleetune
