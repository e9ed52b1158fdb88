#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "aggregation/privacy/privacy_parameters.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// The noise of a plan with differential privacy, which devices and coordinator derive each for itself from the signed
// plan: nobody takes such a figure from the other.

// The plan's terms, with its clip norm.
DifferentialPrivacy PrivacyOf(const TrainingPlan& plan);

// The cell of `devices` (min_cohort .. max_inputs) of a plan that trains `values` parameters.
CellShape ShapeOf(const TrainingPlan& plan, uint64_t values, uint32_t devices);

// Scale and cost, the same for all cells of all rounds. Requires a valid plan with noise; checked. InvalidArgument if
// the lane is too narrow, or integers cost too much; the message says what would do.
absl::StatusOr<SkellamPlan> PlanNoise(const TrainingPlan& plan, uint64_t values);

}  // namespace fleetune
