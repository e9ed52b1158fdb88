#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <memory>

#include "inference/gguf/gguf_file.h"
#include "lora/train/int8_product.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// One block of weights, dequantized: shared by all matrices of a model, which take turns. Its memory grows to the
// largest block asked for. Not thread-safe.
class WeightBuffer {
 public:
  // An uninitialized [rows, columns] of `type`, valid until the next call.
  at::Tensor Take(int64_t rows, int64_t columns, at::ScalarType type);

 private:
  at::Tensor memory_;
};

// A weight matrix W [rows, columns] of the base model that is never trained: it stays in the mapped file as it is, and
// blocks of its rows become f32 or bf16 only while a product needs them. F32 tensors are used where they lie if
// products are f32. Borrows the tensor, whose file must outlive it. Not thread-safe.
class FrozenMatrix {
 public:
  struct Options {
    at::ScalarType type = at::kFloat;      // of products: kFloat or kBFloat16
    bool int8_forward = false;             // Forward of quantized weights is in int8; type is kBFloat16 then
    bool keep = false;                     // all of it is dequantized at once, here
    std::shared_ptr<WeightBuffer> buffer;  // of blocks otherwise
  };

  FrozenMatrix() = default;

  // Requires a type that can be dequantized; checked.
  FrozenMatrix(const GgufTensor& tensor, const Options& options);

  int64_t rows() const { return rows_; }
  int64_t columns() const { return columns_; }

  // x W^T: [n, columns] to [n, rows]. `x` and the result are of the products' type.
  at::Tensor Multiply(const at::Tensor& x) const;

  // The same on the way forth, where it may be in int8 (int8_product.h): of all rows, or of those from `begin` on that are
  // in `block`, which the caller has for the way back.
  at::Tensor Forward(const ForwardInput& x) const;
  at::Tensor Forward(const ForwardInput& x, int64_t begin, const at::Tensor& block) const;

  // Adds y W, [n, rows] to [n, columns], to `sum`, or starts it if it is undefined: the gradient's way back.
  void MultiplyBack(const at::Tensor& y, at::Tensor& sum) const;

  // Rows by their indices (int64), as for an embedding.
  at::Tensor Gather(const at::Tensor& indices) const;

  // Rows begin .. end - 1, valid until the next use of the buffer.
  at::Tensor Block(int64_t begin, int64_t end) const;

 private:
  const GgufTensor* tensor_ = nullptr;
  at::ScalarType type_ = at::kFloat;
  bool int8_forward_ = false;
  std::shared_ptr<WeightBuffer> buffer_;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
  int64_t block_rows_ = 0;
  at::Tensor whole_;  // defined if kept, or F32 where it lies
};

// A whole tensor as f32, flat.
at::Tensor ReadFloats(const GgufTensor& tensor);

}  // namespace fleetune
