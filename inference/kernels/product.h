#pragma once

#include <cstdint>
#include <span>

#include "inference/gguf/gguf_file.h"

namespace fleetune {

// A matrix of weights as rows of GGUF blocks. A view.
struct WeightMatrix {
  TensorType type = TensorType::kF32;
  std::span<const uint8_t> data;  // row after row
  uint64_t rows = 0;
  uint64_t columns = 0;  // a multiple of the type's block
};
WeightMatrix MatrixOf(const GgufTensor& tensor);

// y = x W^T: y[t * rows + r] = sum over c of W[r][c] * x[t * columns + c], for each of x.size() / columns
// vectors. Each row of W is dequantized once, however many vectors there are.
//
// f32, in 16 partial sums: at most columns * 2^-24 * sum |W x| off. The same bits on every machine and for
// every number of vectors. Requires sizes that fit; checked. Thread-safe.
void MultiplyByRows(const WeightMatrix& w, std::span<const float> x, std::span<float> y);

}  // namespace fleetune
