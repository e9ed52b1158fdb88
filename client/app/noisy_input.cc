#include "client/app/noisy_input.h"

#include <algorithm>
#include <array>
#include <span>

#include "aggregation/encode/lanes.h"
#include "aggregation/privacy/skellam_sampler.h"
#include "base/check.h"
#include "base/crypto/random.h"
#include "base/crypto/secret.h"
#include "base/status_macros.h"
#include "lora/plan/cell_noise.h"

namespace fleetune {

absl::StatusOr<RingVector> NoisyInput(const TrainingPlan& plan, uint64_t parameters,
                                      const secagg::ClientSession& session, RingVector update) {
  if (!plan.privacy.on()) return update;
  CHECK(parameters <= update.size());
  ASSIGN_OR_RETURN(const SkellamPlan noise, PlanNoise(plan, parameters));
  ASSIGN_OR_RETURN(const Secret32 key, session.NoiseKey());
  std::array<uint8_t, 32> raw;
  std::ranges::copy(key.bytes(), raw.begin());
  AesCtrRandom random(raw);
  Wipe(raw);
  const CellShape cell = ShapeOf(plan, parameters, session.cohort());
  const std::span<uint32_t> values = std::span(update).first(parameters);
  RETURN_IF_ERROR(AddSkellamNoise(values, DeviceVariance(PrivacyOf(plan), cell, noise.scale), random));
  const auto lane = static_cast<LaneBits>(plan.encoding.lane_bits);
  for (uint32_t& value : values) value &= LaneMask(lane);
  return update;
}

}  // namespace fleetune
