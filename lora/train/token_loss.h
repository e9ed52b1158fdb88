#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include "lora/train/frozen_matrix.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// The sum over rows of -ln softmax(hidden W^T)[target], a scalar. Logits exist for a chunk of rows at a time, and
// the gradient of `hidden` [n, width] is made in the same pass. W has none. `targets`: int64 [n], each a row of W.
at::Tensor TokenLoss(const at::Tensor& hidden, const at::Tensor& targets, const FrozenMatrix& output);

}  // namespace fleetune
