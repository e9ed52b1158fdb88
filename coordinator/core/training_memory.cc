#include "coordinator/core/training_memory.h"

namespace fleetune {
namespace {

// The weights, and for what is trained also a gradient and two moments; one more copy is the delta's start.
uint64_t AdapterStateBytes(const AdapterSpec& spec, LoraMethod method) {
  constexpr uint64_t kMoreOfTrained = 4;
  return sizeof(float) * (spec.a_size() + spec.b_size() + kMoreOfTrained * MostTrained(method, spec.a_size(), spec.b_size()));
}

uint64_t ActivationBytes(const BaseModel& model, const TrainOptions& options) {
  const uint64_t tokens = uint64_t{options.sequence_length} * options.micro_batch;
  uint64_t layer_features = model.width;
  uint64_t largest_matrix = 0;
  for (const ProjectionSizes& sizes : model.sizes.projections) {
    layer_features += sizes.out;
    const uint64_t elements = uint64_t{sizes.in} * sizes.out;
    if (elements > largest_matrix) largest_matrix = elements;
  }
  const uint64_t checkpoints = tokens * model.width * model.layers;
  const uint64_t layer = 2 * tokens * layer_features;  // values and their gradients
  // Attention works row by row (lora/train/attention.h): no term in the square of the length.
  return sizeof(float) * (checkpoints + layer + largest_matrix);
}

}  // namespace

uint64_t EstimateTrainingMemory(const BaseModel& model, const AdapterSpec& spec, const TrainingPlan& plan) {
  return kTrainerFixedBytes + model.size_bytes + AdapterStateBytes(spec, plan.trained) +
         ActivationBytes(model, plan.train);
}

}  // namespace fleetune
