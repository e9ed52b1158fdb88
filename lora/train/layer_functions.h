#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <memory>

#include "inference/gguf/llama_shape.h"
#include "lora/train/joined_examples.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// layer_math.h and attention.h as autograd functions over rows [n, ...], divided among LibTorch's threads.
at::Tensor RmsNormRows(const at::Tensor& x, const at::Tensor& weight, double epsilon);
at::Tensor SwiGluRows(const at::Tensor& gate, const at::Tensor& up);

// Query [n, heads * head_size], key and value [n, kv_heads * head_size], not rotated yet; gives [n, heads * head_size].
at::Tensor RotaryAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const LlamaShape& shape, const std::shared_ptr<const JoinedExamples>& examples);

}  // namespace fleetune
