#pragma once

#include <cstdint>
#include <string>

#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What a base model costs whoever trains over it.
struct ModelFootprint {
  uint64_t file_bytes = 0;  // mapped while it is used
  BaseSizes sizes;
  uint32_t vocabulary = 0;
  uint32_t heads = 0;
  uint32_t context = 0;     // longest sequence it was made for, in tokens
};

// Bytes that a local training needs, by what they are for.
struct TrainingMemory {
  uint64_t runtime = 0;      // LibTorch and the program itself
  uint64_t weights = 0;      // the mapped model
  uint64_t activations = 0;  // kept for the backward pass, the largest layer's own work included
  uint64_t loss = 0;         // logits of a chunk, and the output matrix while it is used
  uint64_t adapter = 0;      // parameters, gradients, AdamW's moments
  uint64_t total() const { return runtime + weights + activations + loss + adapter; }
  uint64_t trainer() const { return total() - weights; }  // of the trainer's own: without the mapped model
};

// Measured: LibTorch's start costs 155 to 165 MB before the first tensor.
inline constexpr uint64_t kTrainingRuntimeBytes = 170'000'000;

// An upper estimate. Requires a valid plan; pure.
TrainingMemory EstimateTrainingMemory(const TrainingPlan& plan, const ModelFootprint& model);

// Whether a task fits a device, said before it starts.
struct TaskFit {
  bool fits = false;
  TrainingMemory memory;
  std::string reason;  // if not: "needs 2.3 GB, 1.6 GB allowed: rank 8 -> 4 or sequence 512 -> 256 would fit"
};

// Does not fit either if the plan's sequence is longer than the model's context.
TaskFit FitTask(const TrainingPlan& plan, const ModelFootprint& model, uint64_t allowed_bytes);

}  // namespace fleetune
