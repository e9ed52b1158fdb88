#pragma once

// Includes LibTorch: for the .cc files of lora/train only.

#include <span>
#include <vector>

#include "lora/plan/training_plan.h"
#include "lora/train/preference_loss.h"

namespace fleetune {

// Examples that are only measured. Borrows `examples`.
struct HeldOutExamples {
  std::span<const TokenExample> examples;
  std::vector<AnswerLogs> reference;  // of each, from the start of the training
};

// The loss of `weights` over them as a training counts it: the mean over tokens plus the mean over preferences. Without
// gradient or dropout, in passes of about a sequence. Requires at least one example; checked.
double HeldOutLoss(const LlamaShape& shape, AdaptedWeights& weights, const HeldOutExamples& held_out,
                   std::span<const double> frequencies, const TrainOptions& options);

}  // namespace fleetune
