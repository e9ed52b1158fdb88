#include "client/governor/governor.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr int kMinutesPerDay = 24 * 60;
constexpr uint64_t kMinTrainingBytes = 16'000'000;

template <typename T>
absl::Status CheckRange(const char* field, T value, T low, T high) {
  if (value >= low && value <= high) return absl::OkStatus();  // a NaN is in no range
  return absl::InvalidArgumentError(
      fmt::format("{} must be {} to {}, got {}", field, low, high, value));
}

bool InWindow(int minute, const GovernorLimits& limits) {
  if (limits.from_minute == limits.to_minute) return true;
  const bool after_start = minute >= limits.from_minute;
  const bool before_end = minute < limits.to_minute;
  return limits.from_minute < limits.to_minute ? after_start && before_end
                                               : after_start || before_end;
}

std::string TimeOfDay(int minute) { return fmt::format("{:02}:{:02}", minute / 60, minute % 60); }

TrainingPermission No(std::string reason) { return {.allowed = false, .reason = std::move(reason)}; }

// What others than memory say.
TrainingPermission ButForMemory(const MachineReadings& readings, const GovernorLimits& limits) {
  if (!InWindow(readings.minute_of_day, limits)) {
    return No(fmt::format("it is {}; training is allowed from {} to {}", TimeOfDay(readings.minute_of_day),
                          TimeOfDay(limits.from_minute), TimeOfDay(limits.to_minute)));
  }
  const bool unplugged = readings.on_battery.value_or(false);
  const int needed = unplugged ? limits.min_battery_percent_unplugged : limits.min_battery_percent_plugged;
  if (unplugged && needed > 100) return No("on battery; training waits for the plug");
  if (readings.battery_percent.has_value() && *readings.battery_percent < needed) {
    return No(fmt::format("{} at {} %; training needs {} %", unplugged ? "on battery" : "plugged in, battery",
                          *readings.battery_percent, needed));
  }
  if (readings.celsius.has_value() && *readings.celsius > limits.max_celsius) {
    return No(fmt::format("the machine is {:.0f} °C hot; training is allowed up to {:.0f} °C", *readings.celsius,
                          limits.max_celsius));
  }
  if (limits.max_load_per_cpu > 0 && readings.load_per_cpu.value_or(0) > limits.max_load_per_cpu) {
    return No(fmt::format("the load is {:.1f} per processor; training is allowed up to {:.1f}",
                          *readings.load_per_cpu, limits.max_load_per_cpu));
  }
  return {};
}

bool MemoryIsShort(const MachineReadings& readings, const GovernorLimits& limits) {
  if (readings.training_bytes == 0) return TrainingMemoryBytes(readings, limits) < kMinTrainingBytes;
  return readings.memory_available_bytes.value_or(UINT64_MAX) < limits.memory_reserve_bytes / 2;
}

}  // namespace

absl::Status Validate(const GovernorLimits& limits) {
  RETURN_IF_ERROR(CheckRange("min_battery_percent_unplugged", limits.min_battery_percent_unplugged, 0, 101));
  RETURN_IF_ERROR(CheckRange("min_battery_percent_plugged", limits.min_battery_percent_plugged, 0, 100));
  RETURN_IF_ERROR(CheckRange("max_celsius", limits.max_celsius, 20.0, 120.0));
  RETURN_IF_ERROR(CheckRange("max_load_per_cpu", limits.max_load_per_cpu, 0.0, 1000.0));
  RETURN_IF_ERROR(CheckRange<uint64_t>("max_memory_bytes", limits.max_memory_bytes, kMinTrainingBytes, UINT64_MAX));
  RETURN_IF_ERROR(CheckRange<uint64_t>("memory_reserve_bytes", limits.memory_reserve_bytes, 0, 1'000'000'000'000));
  RETURN_IF_ERROR(CheckRange("from_minute", limits.from_minute, 0, kMinutesPerDay - 1));
  return CheckRange("to_minute", limits.to_minute, 0, kMinutesPerDay - 1);
}

TrainingPermission MayTrain(const MachineReadings& readings, const GovernorLimits& limits) {
  TrainingPermission permission = ButForMemory(readings, limits);
  permission.memory_is_short = MemoryIsShort(readings, limits);
  if (permission.allowed && permission.memory_is_short) {
    permission.allowed = false;
    permission.reason = fmt::format("{} MB of memory are free, and {} MB are reserved for others",
                                    readings.memory_available_bytes.value_or(0) / 1'000'000,
                                    limits.memory_reserve_bytes / 1'000'000);
  }
  return permission;
}

uint64_t TrainingMemoryBytes(const MachineReadings& readings, const GovernorLimits& limits) {
  if (!readings.memory_available_bytes.has_value()) return limits.max_memory_bytes;
  const uint64_t free = *readings.memory_available_bytes;
  const uint64_t available = free + std::min(readings.training_bytes, UINT64_MAX - free);
  const uint64_t left = available - std::min(available, limits.memory_reserve_bytes);
  return std::min(left, limits.max_memory_bytes);
}

}  // namespace fleetune
