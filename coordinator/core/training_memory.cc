#include "coordinator/core/training_memory.h"

namespace fleetune {
namespace {

// The weights, and for what is trained also a gradient and two moments; one more copy is the delta's start.
uint64_t AdapterStateBytes(const AdapterSpec& spec, bool train_a) {
  constexpr uint64_t kTrainedCopies = 5;
  const uint64_t a_copies = train_a ? kTrainedCopies : 1;
  return sizeof(float) * (spec.a_size() * a_copies + spec.b_size() * kTrainedCopies);
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

uint64_t EstimateTrainingMemory(const BaseModel& model, const AdapterSpec& spec, const TrainOptions& options) {
  return kTrainerFixedBytes + model.size_bytes + AdapterStateBytes(spec, options.train_a) +
         ActivationBytes(model, options);
}

}  // namespace fleetune
