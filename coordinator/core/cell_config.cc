#include "coordinator/core/cell_config.h"

#include <algorithm>

#include "aggregation/encode/encoding_options.h"
#include "coordinator/core/cell_plan.h"

namespace fleetune {

secagg::SessionConfig MakeCellConfig(const CellSource& source, RandomSource& random) {
  const TaskSpec& spec = source.task.spec;
  const SecurePlan& secure = spec.plan.secure;
  const EncodingOptions options = source.task.update_options(source.round.record.id, source.round.machine.from_version());
  secagg::SessionConfig config;
  config.task = spec.plan.task;
  config.round = source.round.record.id;
  config.cell = source.number;
  random.Fill(config.nonce);
  config.base = spec.plan.base;
  config.adapter = source.task.versions.at(source.round.machine.from_version()).hash;
  config.profile =
      secure.mode == SecureMode::kMalicious ? secagg::Profile::kMalicious : secagg::Profile::kHonestButCurious;
  config.dimension = RingLength(options);
  config.lane_bits = static_cast<uint8_t>(BitsOf(options.lane));
  config.clip_norm = options.clip_norm;
  config.scale = StepsPerUnit(options);
  config.rotation_seed = *options.rotation;
  config.noise_multiplier = spec.plan.privacy.noise_multiplier;
  config.noise_delta = spec.plan.privacy.on() ? spec.plan.privacy.delta : 0;
  config.max_cohort = SeatsOfNextCell(source.waiting, secure.min_cohort, spec.cells.largest);
  config.min_cohort = secure.min_cohort;
  config.min_survivors = secure.min_survivors;
  config.adversarial = secure.adversarial;
  config.dropout = secure.dropout;
  config.times = {.advertise = spec.cells.seat_time,
                  .share_keys = spec.cells.share_time,
                  .masked_input = spec.cells.input_time,
                  .view = spec.cells.view_time,
                  .unmask = spec.cells.unmask_time};
  return config;
}

}  // namespace fleetune
