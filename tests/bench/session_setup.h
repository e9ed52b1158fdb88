#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "aggregation/secagg/session_config.h"

namespace fleetune::bench {

// A session to be measured. Both processes know it.
struct SessionSetup {
  secagg::Profile profile = secagg::Profile::kHonestButCurious;
  uint32_t devices = 1024;
  uint64_t dimension = 1'000'000;
  uint8_t lane_bits = 32;
  double late_dropout = 0.05;  // of devices that share keys, fetch their neighbours' shares, and send no input
  size_t threads = 1;          // of each process
};

secagg::SessionConfig ConfigOf(const SessionSetup& setup);
std::string DeviceName(uint32_t device);
// floor(devices * late_dropout) of them, evenly spread over the devices; the graph is random.
bool DropsOut(const SessionSetup& setup, uint32_t device);

// Messages of so many devices are on their way at a time.
inline constexpr uint32_t kBatchDevices = 32;

}  // namespace fleetune::bench
