#pragma once

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "client/governor/machine_readings.h"

namespace fleetune {

// When a device may train. Written by its owner; pure decisions over machine_readings.h.
// The defaults work on a device that is plugged in, at any time of day.
struct GovernorLimits {
  // Least charge while running on the battery; 101 never trains there. 0 to 101.
  int min_battery_percent_unplugged = 50;
  // Least charge while plugged in: an empty battery charges first. 0 to 100.
  int min_battery_percent_plugged = 20;
  // Hottest sensor at which training may go on. 20 to 120.
  double max_celsius = 85;
  // Most load per processor; 0 is no limit. The training's own load counts too. 0 to 1,000.
  double max_load_per_cpu = 0;
  // Most memory that training may take. At least 16 MB.
  uint64_t max_memory_bytes = 2'000'000'000;
  // Memory that is left to everybody else. At most 1 TB.
  uint64_t memory_reserve_bytes = 128'000'000;
  // The part of the day in which training is allowed, in minutes of local time, [from, to); it may go past
  // midnight. Equal: the whole day. 0 to 1439 each.
  int from_minute = 0;
  int to_minute = 0;
};

// InvalidArgument naming the first field out of range, with its range.
absl::Status Validate(const GovernorLimits& limits);

struct TrainingPermission {
  bool allowed = true;
  std::string reason;  // in words, of the first limit that forbids; empty if allowed
  bool memory_is_short = false;  // others need it: a training should give its own back, and not only pause
};

// What the machine does not tell forbids nothing. Memory is short when only the reserve is left; for a training that runs, and
// may have taken all but the reserve, when others have taken half of that, too. Requires valid limits.
TrainingPermission MayTrain(const MachineReadings& readings, const GovernorLimits& limits);

// Memory that training may use now, with what it holds: 0 if only the reserve is left, max_memory_bytes if the machine
// does not tell. Requires valid limits.
uint64_t TrainingMemoryBytes(const MachineReadings& readings, const GovernorLimits& limits);

}  // namespace fleetune
