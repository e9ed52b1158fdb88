#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include "lora/train/libtorch.h"

namespace fleetune {

// The elementwise parts of layer_math.h as autograd functions over rows [n, width], divided among LibTorch's threads.
// Products read bf16 or f32 (`type`); what is added up along the layers is f32.

// `x` f32; the result of `type`, ready for a product.
at::Tensor RmsNormRows(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType type);

// silu(gate) * up, all of one type.
at::Tensor SwiGluRows(const at::Tensor& gate, const at::Tensor& up);

}  // namespace fleetune
