#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace fleetune {

// What kind of machine a device is, and the budgets that are kept on it (docs/design/architecture.md).
struct DeviceProfile {
  std::string_view name;
  uint64_t memory_bytes = 0;                // of everything that Fleetune does on it
  std::chrono::milliseconds answer_time{};  // for one answer
  double accuracy_floor = 0;                // against the full model, [0, 1]
  uint32_t training_threads = 0;            // so that the machine stays cool and answers its owner; 0: all cores
};

// All of them, the smallest first. Immutable.
std::span<const DeviceProfile> DeviceProfiles();

// "raspberry_pi", "mobile_device", "nvidia_jetson" or "edge_server"; InvalidArgument naming all for another name.
absl::StatusOr<DeviceProfile> FindDeviceProfile(std::string_view name);

// Of a trainer on a machine with so many `cores` (0: not known): at least 1 where cores are known.
uint32_t TrainingThreads(const DeviceProfile& profile, uint32_t cores);

}  // namespace fleetune
