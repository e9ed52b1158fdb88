#pragma once

#include <span>
#include <string>

#include "lora/train/trainer.h"

namespace fleetune {

// A training drawn as SVG 1.1: loss over steps, the gradient's norm below, the learning rate below that; each with its
// axis, from the least to the largest value. Pure. Empty panels if there is no step.
std::string LearningCurves(std::span<const TrainStep> steps);

}  // namespace fleetune
