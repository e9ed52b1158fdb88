#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "inference/gguf/gguf_file.h"
#include "inference/kernels/vector_tiles.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// Products of quantized base weights on the way forth, as the inference engine computes them
// (inference/kernels/packed_product.h): inputs in int8 with a scale for each 32 columns, sums of integers that are exact,
// weights as the file has them. On processors that multiply int8 well (VNNI) that is faster than bf16, and nearer to what
// the device will answer with.

// Whether there are such products with weights of this type.
bool HasInt8Products(TensorType type);

// The rows of a contiguous x [n, columns] of bf16, in int8; columns are a multiple of 32.
class Int8Rows {
 public:
  explicit Int8Rows(const at::Tensor& x);

  int64_t rows() const { return rows_; }
  // Of kGroup rows each, the last of what is left.
  const std::vector<VectorTiles>& groups() const { return groups_; }

  static constexpr int64_t kGroup = 64;

 private:
  int64_t rows_;
  std::vector<VectorTiles> groups_;
};

// x W^T for rows begin .. end - 1 of W, [n, end - begin], rounded to bf16. The same bits for every number of threads, and of a
// row of x whatever the others are. Weights are rearranged a few rows at a time, so nothing of them is kept. Requires
// HasInt8Products; checked.
at::Tensor MultiplyInt8(const Int8Rows& x, const GgufTensor& w, int64_t begin, int64_t end);

// What layers that read the same input share: x, and its int8 form from when one of them first asks for it. Not thread-safe.
class ForwardInput {
 public:
  explicit ForwardInput(at::Tensor x) : x_(std::move(x)) {}
  const at::Tensor& values() const { return x_; }
  const Int8Rows& int8() const {
    if (!int8_.has_value()) int8_.emplace(x_);
    return *int8_;
  }

 private:
  at::Tensor x_;
  mutable std::optional<Int8Rows> int8_;
};

}  // namespace fleetune
