#pragma once

#include <cstdint>
#include <span>

#include "lora/plan/training_plan.h"

namespace fleetune {

// The learning rate of `step` (from 1) of `steps`: linear over warmup_steps, then constant, or half a cosine down to
// zero after the last step. Pure.
double LearningRate(const TrainOptions& options, uint32_t step, uint32_t steps);

// Scales `gradient` so that its L2 norm is at most `limit`; returns the norm before. Sums in double.
double ClipByNorm(std::span<float> gradient, double limit);

}  // namespace fleetune
