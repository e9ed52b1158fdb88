#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/encode/encoding_options.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// Which updates: of a round's devices, trained against `from_version` of an adapter of `spec`. Borrows all.
struct UpdateOf {
  const TrainingPlan& plan;
  const AdapterSpec& spec;  // of the plan over its base model
  uint32_t from_version = 0;
  std::string_view round;
};

// How a round's updates of a plan are encoded, for devices and coordinator alike: the factors that are trained against
// the version, and the groups of ranks that smaller devices leave out. The rotation differs from round to round. Valid
// for a valid plan and 1 .. kMaxEncodedValues values, unless the lane is too narrow for max_inputs: see
// Validate(EncodingOptions). With differential privacy all cells have one scale, that of PlanNoise; rounding keeps within
// the sensitivity that is charged; and there is no telemetry, which nobody has noised or accounted for. InvalidArgument as
// PlanNoise.
absl::StatusOr<EncodingOptions> UpdateOptions(const UpdateOf& update);

// The same for who knows the number of trained values alone (half of those in an update with control variates, see
// lora/plan/control_variates.h): all but the groups. RingLength of the whole is
// UpdateElements.
absl::StatusOr<EncodingOptions> UpdateOptions(const TrainingPlan& plan, uint64_t values, std::string_view round);
absl::StatusOr<uint64_t> UpdateElements(const TrainingPlan& plan, uint64_t values);

// The groups of ranks: the first plan.smallest_rank of each module, then up to twice, four times ... as many, so that
// few groups, each of many devices, serve ranks of all sizes. Where each ends; the last at plan.rank.
std::vector<uint32_t> RankGroupEnds(const TrainingPlan& plan);

// The ranks that a device trains which can train `largest` (0: any): whole groups alone. 0: not even the smallest.
uint32_t RanksTrainedBy(const TrainingPlan& plan, uint32_t largest);

// UpdateInput::trained_groups of a device that trained the first `ranks` (0: all).
uint64_t TrainedGroups(const TrainingPlan& plan, uint32_t ranks);

// What an update of so many examples weighs, in [0, max_weight]: with noise every device the same, since its weight is
// not hidden.
double UpdateWeight(const TrainingPlan& plan, uint64_t examples);

// Public: everybody derives it.
RotationSeed RoundRotation(std::string_view task, std::string_view round);

}  // namespace fleetune
