#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "base/bytes.h"
#include "base/random.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/adapter/delta.h"
#include "lora/plan/control_variates.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What a device learned in a round. Borrows all but the delta.
struct LearnedInRound {
  const TrainingPlan& plan;
  const AdapterSpec& spec;  // of the plan over its base model
  uint32_t from_version = 0;
  std::string_view round;
  Delta delta;
  uint32_t ranks = 0;     // of B that were trained; 0: all
  uint64_t examples = 0;  // trained on
  // Of plan.train.control_variates.
  std::span<const float> mean_gradient = {};  // the round's own, before it was corrected or clipped
  const OwnControl* own = nullptr;            // c_i in this round
};

// What of it travels: one vector, clipped as one.
struct RoundUpdate {
  RingVector ring;
  Bytes packed;             // the same, in lanes
  uint64_t parameters = 0;  // values in the delta
  OwnControl control;       // of plan.train.control_variates: c_i once the update is counted, moved by what is sent
};

// Delta, and change of c_i if the plan has control variates, as UpdateOptions says. `random` rounds. InvalidArgument if
// the mean gradient is not as long as the delta; errors of UpdateOptions and UpdateEncoder. Requires `own` of a plan with
// control variates; checked.
absl::StatusOr<RoundUpdate> EncodeRoundUpdate(LearnedInRound learned, RandomSource& random);

}  // namespace fleetune
