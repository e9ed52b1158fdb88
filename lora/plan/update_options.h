#pragma once

#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"
#include "aggregation/encode/encoding_options.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// How a round's updates of a plan are encoded, for devices and coordinator alike. `values`: trained parameters. The
// rotation differs from round to round. With differential privacy all cells have one scale, that of PlanNoise; rounding
// keeps within the sensitivity that is charged; and there is no telemetry, which nobody has noised or accounted for.
// Valid for a valid plan and 1 .. kMaxEncodedValues values, unless the lane is too narrow for max_inputs: see
// Validate(EncodingOptions). InvalidArgument as PlanNoise.
absl::StatusOr<EncodingOptions> UpdateOptions(const TrainingPlan& plan, uint64_t values, std::string_view round);

// What an update of so many examples weighs, in [0, max_weight]: with noise every device the same, since its weight is
// not hidden.
double UpdateWeight(const TrainingPlan& plan, uint64_t examples);

// Public: everybody derives it.
RotationSeed RoundRotation(std::string_view task, std::string_view round);

}  // namespace fleetune
