#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lora/plan/training_plan.h"

namespace fleetune {

// The learning rate of `step` (from 1) of `steps`: linear over warmup_steps, then constant, or half a cosine down to
// zero after the last step. Pure.
double LearningRate(const TrainOptions& options, uint32_t step, uint32_t steps);

// Scales `gradient` so that its L2 norm is at most `limit`; returns the norm before. Sums in double.
double ClipByNorm(std::span<float> gradient, double limit);

// AdamW (Loshchilov and Hutter 2019) over one flat vector: decay apart from the gradient, both moments corrected for
// their start at zero. Not thread-safe.
class AdamW {
 public:
  // All that changes from step to step.
  struct State {
    uint64_t steps = 0;
    std::vector<float> mean;    // of the gradient, a float for each parameter
    std::vector<float> square;  // of its square
    friend bool operator==(const State&, const State&) = default;
  };

  AdamW(const TrainOptions& options, size_t parameters);

  // One step. Requires both spans of `parameters` floats; checked.
  void Step(double learning_rate, std::span<const float> gradient, std::span<float> weights);

  const State& state() const { return state_; }
  // Requires vectors of `parameters` floats; checked.
  void GoOnFrom(State state);

 private:
  const double beta1_;
  const double beta2_;
  const double epsilon_;
  const double weight_decay_;
  State state_;
};

}  // namespace fleetune
