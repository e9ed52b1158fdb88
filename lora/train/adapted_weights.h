#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/factors.h"
#include "lora/train/frozen_matrix.h"
#include "lora/train/libtorch.h"
#include "lora/train/llama_graph.h"

namespace fleetune {

// InvalidArgument naming the first thing about `spec` that does not fit the model.
absl::Status CheckSpecFits(const AdapterSpec& spec, const LlamaShape& shape);

// A base model's frozen weights with an adapter under training. Parameters and their gradients are flat, in the
// order of the spec. Borrows `file`. Not thread-safe.
class AdaptedWeights final : public LlamaWeights {
 public:
  // Requires CheckSpecFits. InvalidArgument naming a tensor whose type cannot be computed with.
  static absl::StatusOr<std::unique_ptr<AdaptedWeights>> Create(const GgufFile& file, const LlamaShape& shape,
                                                                const Adapter& adapter, Factors trained);

  // From here on inputs of A are dropped with this probability; each micro-batch gets a seed of its own.
  void SetDropout(double probability, uint64_t seed);

  // What is trained, in the order of FloatsOf; and its gradient, which backward passes add to.
  std::span<float> Trained();
  std::span<float> Gradient();

  absl::StatusOr<Adapter> ToAdapter() const;
  const FrozenMatrix& Output() const { return output_; }

  at::Tensor Embed(const at::Tensor& tokens) const override;
  at::Tensor Linear(uint32_t layer, Projection projection, const at::Tensor& x) const override;
  at::Tensor AttentionNorm(uint32_t layer) const override { return layers_[layer].attention_norm; }
  at::Tensor FeedForwardNorm(uint32_t layer) const override { return layers_[layer].feed_forward_norm; }
  at::Tensor OutputNorm() const override { return output_norm_; }

 private:
  struct Layer {
    std::array<FrozenMatrix, kNumProjections> weights;
    std::array<at::Tensor, kNumProjections> biases;  // undefined: none
    std::array<at::Tensor, kNumProjections> a;       // undefined: no target
    std::array<at::Tensor, kNumProjections> b;
    at::Tensor attention_norm;
    at::Tensor feed_forward_norm;
  };

  AdaptedWeights(AdapterSpec spec, Factors trained) : spec_(std::move(spec)), trained_(trained) {}
  absl::Status LoadBase(const GgufFile& file, const LlamaShape& shape);
  void LoadAdapter(const Adapter& adapter);
  at::Tensor Parameter(uint64_t offset, int64_t rows, int64_t columns, bool trained) const;
  uint64_t FirstTrained() const { return HasA(trained_) ? 0 : spec_.a_size(); }

  const AdapterSpec spec_;
  const Factors trained_;
  std::vector<Layer> layers_;
  FrozenMatrix embedding_;
  FrozenMatrix output_;
  at::Tensor output_norm_;
  at::Tensor parameters_;  // all of A, then all of B
  at::Tensor gradient_;    // of what is trained
  double dropout_ = 0;
  uint64_t dropout_seed_ = 0;
};

}  // namespace fleetune
