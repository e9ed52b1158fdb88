#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>

#include "lora/train/frozen_matrix.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// One linear layer under LoRA (Hu et al. 2021): y = x W^T + scale * (drop(x) A^T) B.
struct LoraLinearArgs {
  const FrozenMatrix* weight = nullptr;  // must outlive the way back
  at::Tensor a;                          // [rank, in]; undefined: no adapter here
  at::Tensor b;                          // [rank, out], by rank
  double scale = 1.0;
  double dropout = 0.0;      // probability that an input of A is zero; the others grow by 1 / (1 - dropout)
  uint64_t dropout_seed = 0; // the same seed drops the same inputs, also when a layer is computed again
};

// x: [n, in]. Saves x (if A is trained) and x A^T (if B is) only: W is dequantized again on the way back, and has no gradient. A and B get theirs
// if they require it.
at::Tensor LoraLinear(const at::Tensor& x, const LoraLinearArgs& args);

}  // namespace fleetune
