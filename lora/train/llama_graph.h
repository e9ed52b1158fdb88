#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "inference/gguf/llama_shape.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/train/joined_examples.h"
#include "lora/train/libtorch.h"

namespace fleetune {

// Where the graph gets its weights: frozen ones under an adapter (adapted_weights.h), or parameters that are trained
// themselves (pretrainer.cc).
class LlamaWeights {
 public:
  enum class Results {
    kUsed,
    kOnlyTheirGradients,  // the numbers themselves may be anything: nobody looks at them
  };

  virtual ~LlamaWeights() = default;
  virtual at::ScalarType type() const = 0;                       // of what products read: kFloat or kBFloat16
  virtual at::Tensor Embed(const at::Tensor& tokens) const = 0;  // int64 [n] to [n, width] of type()
  // Products of one input with several matrices, each with its bias, if there is one. All of type().
  virtual std::vector<at::Tensor> Linear(uint32_t layer, std::span<const Projection> projections, const at::Tensor& x,
                                         Results results) const = 0;
  virtual at::Tensor AttentionNorm(uint32_t layer) const = 0;  // norms are f32
  virtual at::Tensor FeedForwardNorm(uint32_t layer) const = 0;
  virtual at::Tensor OutputNorm() const = 0;
};

// Hidden states of the tokens that predict something, normalized: [p, width] of the weights' type, ready for the output
// matrix. On the way back all layers but the last `kept_layers` are computed again from their inputs, which are of the
// weights' type; those keep all that the way back needs. The numbers are the same either way. `weights` must
// outlive the way back.
at::Tensor PredictorStates(const LlamaShape& shape, const LlamaWeights& weights,
                           const std::shared_ptr<const JoinedExamples>& examples, uint32_t kept_layers);

}  // namespace fleetune
