#pragma once

#include <cstdint>
#include <vector>

#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// A matrix among flat parameters: `rows` rows of `columns` floats from `offset` on.
struct TrainedMatrix {
  uint64_t offset = 0;
  uint32_t rows = 0;
  uint32_t columns = 0;
  double rate = 1.0;    // times the learning rate of a step
  bool decays = true;  // weight decay pulls it to zero

  uint64_t size() const { return uint64_t{rows} * columns; }
  friend bool operator==(const TrainedMatrix&, const TrainedMatrix&) = default;
};

// What a training changes of an adapter, one after another without a gap: the A of all modules if they are trained, then of
// DoRA their magnitudes, which are rows without decay (an adapter of zeros changes nothing, a magnitude of zero all), then their
// B, with rates of lora_plus_ratio; of A and B the first `ranks` (0: all). Pure.
std::vector<TrainedMatrix> TrainedMatrices(const AdapterSpec& spec, const TrainOptions& options);

}  // namespace fleetune
