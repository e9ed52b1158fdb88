#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <memory>

#include "inference/gguf/llama_shape.h"
#include "lora/train/joined_examples.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// Causal attention within each example of a micro-batch, with rotated queries and keys, as one autograd function.
// Query [n, heads * head_size], key and value [n, kv_heads * head_size], not rotated yet; gives [n, heads * head_size],
// all of one type. Several query heads may share a key-value head (Ainslie et al. 2023).
//
// Works on blocks of queries against the keys that they may see, and computes probabilities again on the way back
// from each row's log-sum-exp (Dao et al. 2022): memory grows with the length, not with its square. Inside, all is f32.
at::Tensor RotaryAttention(const at::Tensor& query, const at::Tensor& key, const at::Tensor& value,
                           const LlamaShape& shape, const std::shared_ptr<const JoinedExamples>& examples);

}  // namespace fleetune
