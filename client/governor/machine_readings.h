#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/clock.h"

namespace fleetune {

// Where the kernel tells about the machine; tests give folders of their own.
struct MachineSources {
  std::string proc = "/proc";
  std::string power_supply = "/sys/class/power_supply";
  std::string thermal = "/sys/class/thermal";
  std::string cgroup = "/sys/fs/cgroup";
};

// The machine at one moment. What it does not tell is unset.
struct MachineReadings {
  std::optional<uint64_t> memory_available_bytes;  // without swapping, and within the control group
  uint64_t training_bytes = 0;  // that a training of ours holds; nothing of it is available. For the caller to say
  std::optional<bool> on_battery;                  // false also where there is no battery
  std::optional<int> battery_percent;              // of the emptiest, 0 to 100
  std::optional<double> celsius;                   // of the hottest sensor
  std::optional<double> load_per_cpu;              // waiting and running tasks over one minute, per processor
  int minute_of_day = 0;                           // local time, 0 to 1439
};

// Reads what there is; a source that is missing or makes no sense leaves its field unset.
// Thread-safe.
MachineReadings ReadMachine(const MachineSources& sources, TimePoint now);

// Memory that this process holds, mapped files (the model) included.
struct OwnMemory {
  uint64_t resident_bytes = 0;
  uint64_t most_bytes = 0;  // so far

  friend bool operator==(const OwnMemory&, const OwnMemory&) = default;
};

// Nothing where the kernel does not tell. Thread-safe.
std::optional<OwnMemory> ReadOwnMemory(const MachineSources& sources);

}  // namespace fleetune
