#include "lora/plan/cell_noise.h"

#include <string>

#include "base/check.h"

namespace fleetune {

DifferentialPrivacy PrivacyOf(const TrainingPlan& plan) {
  return {.clip_norm = plan.encoding.clip_norm,
          .noise_multiplier = plan.privacy.noise_multiplier,
          .delta = plan.privacy.delta,
          .device_epsilon_limit = plan.privacy.device_epsilon_limit,
          .rounding_overhead = plan.privacy.rounding_overhead};
}

CellShape ShapeOf(const TrainingPlan& plan, uint64_t values, uint32_t devices) {
  return {.devices = devices,
          .adversarial_share = plan.secure.adversarial,
          .dropout_share = plan.secure.dropout,
          .dimension = values,
          .fewest_devices = plan.secure.min_cohort};
}

absl::StatusOr<SkellamPlan> PlanNoise(const TrainingPlan& plan, uint64_t values) {
  CHECK(plan.privacy.on());
  const CellShape largest = ShapeOf(plan, values, plan.encoding.max_inputs);
  absl::StatusOr<SkellamPlan> noise =
      PlanSkellamInLane(PrivacyOf(plan), largest, static_cast<int>(plan.encoding.lane_bits));
  if (noise.ok()) return noise;
  return absl::InvalidArgumentError("privacy: " + std::string(noise.status().message()));
}

}  // namespace fleetune
