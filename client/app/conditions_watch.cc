#include "client/app/conditions_watch.h"

#include <utility>

#include "base/status_macros.h"
#include "client/app/daemon_lock.h"
#include "client/governor/machine_readings.h"

namespace fleetune {
namespace {

// Memory that comes and goes by less than this changes no decision.
constexpr uint64_t kMemoryStep = 64'000'000;

bool DecidesOtherwise(const DeviceConditions& now, const DeviceConditions& before) {
  const uint64_t difference = now.memory_bytes > before.memory_bytes ? now.memory_bytes - before.memory_bytes
                                                                     : before.memory_bytes - now.memory_bytes;
  return now.paused != before.paused || now.may_train != before.may_train ||
         now.memory_is_short != before.memory_is_short || now.may_transfer != before.may_transfer ||
         difference > kMemoryStep;
}

}  // namespace

absl::StatusOr<bool> ConditionsWatch::Look(uint64_t training_bytes) {
  const bool first = !looked_.has_value();
  looked_ = clock_.Now();
  ASSIGN_OR_RETURN(DeviceConditions read, Read(training_bytes));
  if (!first && !DecidesOtherwise(read, now_)) return false;
  now_ = std::move(read);
  return true;
}

bool ConditionsWatch::IsDue() const {
  if (!looked_.has_value()) return true;
  const auto since = clock_.Now() - *looked_;
  return since >= kConditionsLook || since < std::chrono::milliseconds(0);
}

absl::StatusOr<DeviceConditions> ConditionsWatch::Read(uint64_t training_bytes) const {
  DeviceConditions conditions;
  ASSIGN_OR_RETURN(conditions.paused, state_.IsPaused());
  MachineReadings readings = ReadMachine({}, clock_.Now());
  readings.training_bytes = training_bytes;
  const TrainingPermission permission = MayTrain(readings, limits_);
  conditions.may_train = permission.allowed;
  conditions.memory_is_short = permission.memory_is_short;
  conditions.reason = conditions.paused ? "paused by the owner" : permission.reason;
  // The reason goes to the coordinator, which is not told what for.
  if (conditions.may_train && DaemonLock::IsHeld(personal_lock_)) {
    conditions.may_train = false;
    conditions.reason = "the owner needs the device";
  }
  conditions.memory_bytes = TrainingMemoryBytes(readings, limits_);
  return conditions;
}

}  // namespace fleetune
