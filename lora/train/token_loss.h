#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include "lora/train/frozen_matrix.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// -ln softmax(hidden W^T)[target] of each row, f64 [n]. W has no gradient. `hidden`: [n, width] of the products' type;
// `targets`: int64 [n], each a row of W.
//
// One pass over W: the gradient of `hidden` is the softmax's mean of W's rows, which is built up block by block of the
// vocabulary as attention is over its keys (Dao et al. 2022). So there are never logits of more than kLossRows rows and
// a block, W is dequantized once for each kLossRows rows (lora/plan/training_memory.h), and no product is computed
// twice.
at::Tensor TokenLosses(const at::Tensor& hidden, const at::Tensor& targets, const FrozenMatrix& output);

}  // namespace fleetune
