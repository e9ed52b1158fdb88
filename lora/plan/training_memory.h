#pragma once

#include <cstdint>

#include "lora/adapter/adapter_spec.h"
#include "lora/adapter/factors.h"
#include "lora/plan/product_type.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// How much memory a training takes, in one place for all who ask: the trainer itself, which chooses by it how it works,
// the device that says beforehand whether a task fits, and the coordinator that decides whom to invite.

// Pieces that the trainer works in. Large enough that products run at full speed, small beside a model.
inline constexpr uint64_t kWeightBlockElements = uint64_t{5} << 20;  // weights dequantized at a time
inline constexpr uint32_t kAttentionBlock = 64;                      // queries at a time
inline constexpr uint32_t kLossRows = 1024;                          // of logits at a time, at most
inline constexpr uint32_t kLossVocabulary = 4096;                    // columns of logits at a time
inline constexpr uint64_t kKeptWeights = uint64_t{16} << 20;         // models with no more are dequantized once

inline constexpr uint32_t kMostRowsAPass = 256;  // sequences

// Rows of a matrix that are dequantized at a time: all, or parts of about one size.
uint64_t WeightBlockRows(uint64_t rows, uint64_t columns);

// What a base model costs whoever trains over it.
struct ModelFootprint {
  uint64_t file_bytes = 0;  // mapped while it is used
  BaseSizes sizes;
  uint32_t vocabulary = 0;  // 0: not known, taken to be large
  uint32_t heads = 0;
  uint32_t context = 0;  // longest sequence it was made for, in tokens
};

// Size of what is learned, in floats.
struct AdapterFootprint {
  uint64_t parameters = 0;  // of A, B and magnitudes
  uint64_t trained = 0;     // of them
  uint64_t lines = 0;       // rows and columns of what is trained, in all matrices together
  uint64_t magnitudes = 0;  // of them: of DoRA, in all layers together
};
// `ranks` are trained of each module; 0: all.
AdapterFootprint AdapterOf(const AdapterSpec& spec, Factors trained, uint32_t ranks = 0);
// Without a spec: of a plan's rank and targets over `model`, in the round that trains most. No plan is of DoRA, but what is
// learned on one machine may be.
AdapterFootprint AdapterOf(const TrainingPlan& plan, const ModelFootprint& model, bool dora = false);

// Floats that the optimizer remembers of what is trained.
uint64_t OptimizerFloats(const TrainOptions& options, const AdapterFootprint& adapter);

// How a trainer works. The result of a training does not depend on kept_layers, and on `rows` only by rounding.
struct TrainerLayout {
  ProductType products = ProductType::kFloat32;
  uint32_t rows = 1;         // sequences a forward pass; a step of micro_batch * accumulate rows takes some passes
  uint32_t kept_layers = 0;  // layers whose activations are kept for the way back; the others are computed again
};

// Bytes that a local training needs, by what they are for.
struct TrainingMemory {
  uint64_t runtime = 0;      // LibTorch, the program itself and the tokenizer
  uint64_t weights = 0;      // the mapped model
  uint64_t activations = 0;  // kept for the way back, one layer's or the loss's own work included
  uint64_t adapter = 0;      // parameters, gradients, what the optimizer remembers
  uint64_t total() const { return runtime + weights + activations + adapter; }
  uint64_t trainer() const { return total() - weights; }  // of the trainer's own: without the mapped model
};

// Measured: see docs/targets.md, which says how far off it is. Pure.
TrainingMemory EstimateTrainingMemory(const ModelFootprint& model, const AdapterFootprint& adapter,
                                      const TrainOptions& options, const TrainerLayout& layout);

// The fastest way to work within `allowed_bytes`: most rows a pass, up to some 2,048 tokens, then most layers
// kept. The smallest there is if nothing fits. Pure.
TrainerLayout ChooseLayout(const ModelFootprint& model, const AdapterFootprint& adapter, const TrainOptions& options,
                           ProductType products, uint64_t allowed_bytes);

}  // namespace fleetune
