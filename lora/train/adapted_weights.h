#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/factors.h"
#include "lora/plan/product_type.h"
#include "lora/train/dora_gains.h"
#include "lora/train/frozen_matrix.h"
#include "lora/train/libtorch.h"
#include "lora/train/llama_graph.h"
#include "lora/train/lora_linear.h"

namespace fleetune {

// InvalidArgument naming the first thing about `spec` that does not fit the model.
absl::Status CheckSpecFits(const AdapterSpec& spec, const LlamaShape& shape);

// Sizes of its projections, as adapters must fit them.
BaseSizes SizesOfBase(const LlamaShape& shape);

// A base model's frozen weights with an adapter under training. Parameters and their gradients are flat, in the
// order of the spec: A, of DoRA its magnitudes, which are always trained, B. Borrows `file`. Not thread-safe.
class AdaptedWeights final : public LlamaWeights {
 public:
  struct Options {
    Factors trained = Factors::kB;
    uint32_t ranks = 0;  // that are trained, from the first; 0: all
    ProductType products = ProductType::kFloat32;
  };

  // Requires CheckSpecFits. InvalidArgument naming a tensor that is missing, or whose row DoRA would divide by the zero norm of;
  // or if not all ranks of a DoRA adapter are trained.
  static absl::StatusOr<std::unique_ptr<AdaptedWeights>> Create(const GgufFile& file, const LlamaShape& shape,
                                                                const Adapter& adapter, const Options& options);

  // From here on inputs of A are dropped with this probability; each micro-batch gets a seed of its own.
  void SetDropout(double probability, uint64_t seed);

  // What is trained, in that order, of each module the trained ranks; and its gradient, which backward
  // passes add to. Whoever changes the former says so before the next pass or ToAdapter, which read a copy.
  std::span<float> Trained();
  std::span<float> Gradient();
  void TrainedChanged();

  absl::StatusOr<Adapter> ToAdapter() const;
  const FrozenMatrix& OutputMatrix() const { return output_; }

  at::ScalarType type() const override { return type_; }
  at::Tensor Embed(const at::Tensor& tokens) const override;
  std::vector<at::Tensor> Linear(uint32_t layer, std::span<const Projection> projections, const at::Tensor& x,
                                 Results results) const override;
  at::Tensor AttentionNorm(uint32_t layer) const override { return layers_[layer].attention_norm; }
  at::Tensor FeedForwardNorm(uint32_t layer) const override { return layers_[layer].feed_forward_norm; }
  at::Tensor OutputNorm() const override { return output_norm_; }

 private:
  struct Layer {
    std::array<FrozenMatrix, kNumProjections> weights;
    std::array<at::Tensor, kNumProjections> biases;  // undefined: none
    std::array<DoraGains, kNumProjections> gains;    // not defined: no magnitudes
    at::Tensor attention_norm;
    at::Tensor feed_forward_norm;
  };

  AdaptedWeights(AdapterSpec spec, const Options& options);
  absl::Status LoadBase(const GgufFile& file, const LlamaShape& shape);
  absl::Status LoadAdapter(const GgufFile& file, const Adapter& adapter);
  absl::Status LoadGains(const GgufFile& file, const Adapter& adapter);
  void UpdateGains(const LoraModule& module);
  LoraLinearArgs::Output Output(uint32_t layer, Projection projection) const;
  // Calls `each` with where the trained ranks of a module's factor lie in parameters_, and how many floats they are: in
  // the order in which leading_ has them.
  void ForEachLeading(absl::FunctionRef<void(uint64_t offset, uint64_t floats)> each) const;
  // Of so many floats of whole modules, those of the trained ranks.
  uint64_t Leading(uint64_t floats) const { return floats / spec_.rank() * ranks_; }

  uint64_t b_begin() const { return spec_.a_size() + spec_.magnitudes_size(); }  // in parameters_

  const AdapterSpec spec_;
  const Factors trained_;
  const uint32_t ranks_;
  const bool int8_forward_;
  const at::ScalarType type_;
  const std::shared_ptr<WeightBuffer> buffer_;
  std::vector<Layer> layers_;
  FrozenMatrix embedding_;
  FrozenMatrix output_;
  at::Tensor output_norm_;
  at::Tensor parameters_;          // f32: all of A, magnitudes, all of B
  at::Tensor product_parameters_;  // the same as products read them; f32: the same memory
  at::Tensor leading_;             // f32: what is trained, apart, if not all ranks are; else undefined
  at::Tensor gradient_;            // of what is trained
  double dropout_ = 0;
  uint64_t dropout_seed_ = 0;
};

}  // namespace fleetune
