#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>

#include "inference/gguf/gguf_file.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// A weight matrix W [rows, columns] of the base model that is never trained: it stays in the mapped file as it is,
// and blocks of its rows become f32 only while a product needs them. F32 tensors are used where they lie.
// Borrows the tensor, whose file must outlive it. Not thread-safe (shares one block's buffer between calls).
class FrozenMatrix {
 public:
  FrozenMatrix() = default;

  // Requires a type that can be dequantized; checked by the caller. If `keep`, all of it is dequantized here, once.
  FrozenMatrix(const GgufTensor& tensor, bool keep);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

  // x W^T: [n, columns] to [n, rows].
  at::Tensor Multiply(const at::Tensor& x) const;

  // y W: [n, rows] to [n, columns]; the gradient's way back.
  at::Tensor MultiplyBack(const at::Tensor& y) const;

  // Rows by their indices (int64), as for an embedding.
  at::Tensor Gather(const at::Tensor& indices) const;

 private:
  at::Tensor Block(int64_t begin, int64_t end) const;

  const GgufTensor* tensor_ = nullptr;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t block_rows_ = 0;
  at::Tensor whole_;           // defined if kept or F32
  mutable at::Tensor buffer_;  // one block
};

// A whole tensor as f32, flat.
at::Tensor ReadFloats(const GgufTensor& tensor);

}  // namespace fleetune
