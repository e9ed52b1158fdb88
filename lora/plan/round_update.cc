#include "lora/plan/round_update.h"

#include <string>
#include <utility>
#include <vector>

#include "aggregation/encode/lanes.h"
#include "aggregation/encode/update_encoder.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "lora/adapter/factors.h"
#include "lora/plan/update_options.h"

namespace fleetune {

absl::StatusOr<RoundUpdate> EncodeRoundUpdate(LearnedInRound learned, RandomSource& random) {
  const TrainingPlan& plan = learned.plan;
  const Factors factors = TrainedFactors(plan.trained, learned.from_version);
  RoundUpdate update;
  update.parameters = learned.delta.size();
  std::vector<float> control, change;
  if (plan.train.control_variates) {
    CHECK(learned.own != nullptr);
    if (learned.mean_gradient.size() != learned.delta.size()) {
      return absl::InvalidArgumentError("mean gradient: expected " + std::to_string(learned.delta.size()) +
                                        " values, got " + std::to_string(learned.mean_gradient.size()));
    }
    control = ControlOf(*learned.own, learned.spec, factors);
    change = ControlChange(learned.mean_gradient, control);
    learned.delta.insert(learned.delta.end(), change.begin(), change.end());
  }
  ASSIGN_OR_RETURN(EncodingOptions options, UpdateOptions({.plan = plan,
                                                           .spec = learned.spec,
                                                           .from_version = learned.from_version,
                                                           .round = learned.round}));
  ASSIGN_OR_RETURN(const UpdateEncoder encoder, UpdateEncoder::Create(std::move(options)));
  ASSIGN_OR_RETURN(EncodedInput encoded, encoder.Encode({.values = std::move(learned.delta),
                                                         .weight = UpdateWeight(plan, learned.examples),
                                                         .trained_groups = TrainedGroups(plan, learned.ranks)},
                                                        random));
  if (plan.train.control_variates) {
    MoveControl(control, change, encoded.norm, plan.encoding.clip_norm);
    update.control = WithControl(*learned.own, learned.spec, factors, control);
  }
  update.packed = PackLanes(encoded.ring, encoder.options().lane);
  update.ring = std::move(encoded.ring);
  return update;
}

}  // namespace fleetune
