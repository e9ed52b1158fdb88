#include "lora/plan/update_options.h"

#include <algorithm>
#include <string>

#include "base/bytes.h"
#include "base/crypto/sha256.h"

namespace fleetune {

EncodingOptions UpdateOptions(const TrainingPlan& plan, uint64_t values, std::string_view round) {
  EncodingOptions options;
  options.values = values;
  options.clip_norm = plan.encoding.clip_norm;
  options.max_weight = plan.encoding.max_weight;
  options.lane = static_cast<LaneBits>(plan.encoding.lane_bits);
  options.max_inputs = plan.encoding.max_inputs;
  options.rotation = RoundRotation(plan.task, round);
  return options;
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
