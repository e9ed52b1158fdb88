#include "tests/bench/session_setup.h"

#include "fmt/format.h"

namespace fleetune::bench {

secagg::SessionConfig ConfigOf(const SessionSetup& setup) {
  secagg::SessionConfig config;
  config.task = "bench";
  config.round = "bench-1";
  config.profile = setup.profile;
  config.dimension = setup.dimension;
  config.lane_bits = setup.lane_bits;
  config.clip_norm = 1;
  config.scale = 1;
  config.max_cohort = setup.devices;
  config.adversarial = 0.1;
  config.dropout = 0.1;
  const auto hour = std::chrono::hours(1);
  config.times = {.advertise = hour, .share_keys = hour, .masked_input = hour, .view = hour, .unmask = hour};
  return config;
}

std::string DeviceName(uint32_t device) { return fmt::format("bench-device-{:06}", device); }

bool DropsOut(const SessionSetup& setup, uint32_t device) {
  const auto dropped = static_cast<uint64_t>(setup.devices * setup.late_dropout);
  return (device + 1) * dropped / setup.devices != device * dropped / setup.devices;
}

}  // namespace fleetune::bench
