#pragma once

#include <cstdint>
#include <string_view>

#include "aggregation/encode/encoding_options.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// How a round's updates of a plan are encoded, for devices and coordinator alike. `values`: trained parameters. The
// rotation differs from round to round. Valid for a valid plan and 1 .. kMaxEncodedValues values, unless the lane is
// too narrow for max_inputs: see Validate(EncodingOptions).
EncodingOptions UpdateOptions(const TrainingPlan& plan, uint64_t values, std::string_view round);

// Public: everybody derives it.
RotationSeed RoundRotation(std::string_view task, std::string_view round);

}  // namespace fleetune
