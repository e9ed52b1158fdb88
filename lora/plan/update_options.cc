#include "lora/plan/update_options.h"

#include <algorithm>
#include <string>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "lora/plan/cell_noise.h"

namespace fleetune {

absl::StatusOr<EncodingOptions> UpdateOptions(const TrainingPlan& plan, uint64_t values, std::string_view round) {
  EncodingOptions options;
  options.values = values;
  options.clip_norm = plan.encoding.clip_norm;
  options.max_weight = plan.encoding.max_weight;
  options.lane = static_cast<LaneBits>(plan.encoding.lane_bits);
  options.max_inputs = plan.encoding.max_inputs;
  options.rotation = RoundRotation(plan.task, round);
  if (!plan.privacy.on()) return options;
  ASSIGN_OR_RETURN(const SkellamPlan noise, PlanNoise(plan, values));
  options.scale = noise.scale;
  options.wrap_allowed = true;
  options.rounded_norm_limit = noise.release.sensitivity.l2;
  options.telemetry = false;
  return options;
}

double UpdateWeight(const TrainingPlan& plan, uint64_t examples) {
  if (plan.privacy.on()) return 1;
  return std::min(static_cast<double>(examples), plan.encoding.max_weight);
}

RotationSeed RoundRotation(std::string_view task, std::string_view round) {
  ByteWriter writer;
  writer.WriteBlob(AsBytes("fleetune round rotation"));
  writer.WriteBlob(AsBytes(task));
  writer.WriteBlob(AsBytes(round));
  RotationSeed seed;
  std::ranges::copy(Sha256(writer.bytes()).bytes, seed.begin());
  return seed;
}

}  // namespace fleetune
