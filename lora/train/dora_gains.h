#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include "inference/gguf/gguf_file.h"
#include "lora/train/frozen_matrix.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// What DoRA (Liu et al. 2024) multiplies the outputs of one module by while it is trained: g = m / n, n the norms of the rows
// of W + s B A. As the paper's section 4.3 and PEFT have it, n is a constant on the way back, so a step costs one product of A
// with W more, and nothing is kept for it.
//
// n^2 = ||W||^2 + 2 s sum_j B_j (A W^T)_j + s^2 sum_j B_j (A A^T B)_j by rows, of which the first is computed once.
// Not thread-safe.
class DoraGains {
 public:
  struct Module {
    at::Tensor a;           // f32 [rank, in]
    at::Tensor product_a;   // the same of the products' type
    at::Tensor b;           // f32 [rank, out]
    at::Tensor magnitudes;  // f32 [out]
    double scale = 1.0;
  };

  DoraGains() = default;

  // Reads `weight` once. UpdateFrom must follow.
  explicit DoraGains(const GgufTensor& weight);

  // After A, B or m changed. `weight` is that of the constructor, for products.
  void UpdateFrom(const Module& module, const FrozenMatrix& weight);

  bool defined() const { return squares_.defined(); }
  const at::Tensor& gains() const { return gains_; }  // f32 [out], the same memory after each update
  const at::Tensor& norms() const { return norms_; }  // likewise
  bool any_norm_is_zero() const;                      // within rounding

 private:
  at::Tensor squares_;  // of the norms of the rows of W
  at::Tensor norms_;
  at::Tensor gains_;
};

}  // namespace fleetune
