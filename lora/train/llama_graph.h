#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <memory>

#include "inference/gguf/llama_shape.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/train/joined_examples.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// Where the graph gets its weights: frozen ones under an adapter (adapted_weights.h), or parameters that are trained
// themselves (pretrainer.cc).
class LlamaWeights {
 public:
  virtual ~LlamaWeights() = default;
  virtual at::Tensor Embed(const at::Tensor& tokens) const = 0;  // int64 [n] to f32 [n, width]
  // With its bias, if there is one.
  virtual at::Tensor Linear(uint32_t layer, Projection projection, const at::Tensor& x) const = 0;
  virtual at::Tensor AttentionNorm(uint32_t layer) const = 0;
  virtual at::Tensor FeedForwardNorm(uint32_t layer) const = 0;
  virtual at::Tensor OutputNorm() const = 0;
};

enum class Activations {
  kKeep,       // all that the way back needs
  kRecompute,  // a layer's input only; the layer is computed again on the way back
};

// Keeps while the activations of `tokens` stay below some 300 MB.
Activations ChooseActivations(const LlamaShape& shape, int64_t tokens);

// Hidden states of the tokens that predict something, normalized: [p, width], ready for the output matrix.
// `weights` must outlive the way back.
at::Tensor PredictorStates(const LlamaShape& shape, const LlamaWeights& weights,
                           const std::shared_ptr<const JoinedExamples>& examples, Activations activations);

}  // namespace fleetune
