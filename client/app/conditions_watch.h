#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/app/device_folder.h"
#include "client/app/state_store.h"
#include "client/core/agent.h"
#include "client/governor/governor.h"

namespace fleetune {

// How often a waiting daemon looks at its owner's wishes and the machine; a pause takes effect within it.
inline constexpr std::chrono::milliseconds kConditionsLook{250};

// What owner, governor and machine say of training, as of the last look. Not thread-safe.
class ConditionsWatch {
 public:
  // Borrows `state` and `clock`. Requires valid limits; their max_memory_bytes is the device's budget.
  ConditionsWatch(const DeviceFolder& folder, const GovernorLimits& limits, StateStore* state, const Clock* clock)
      : personal_lock_(folder.personal_lock()), limits_(limits), state_(*state), clock_(*clock) {}

  // `training_bytes`: that a training of the daemon's own holds now. Whether anything changed that a decision may hang on;
  // true the first time. Errors of the state store.
  absl::StatusOr<bool> Look(uint64_t training_bytes);

  // Whether the last look is long enough ago, or the clock was set back.
  bool IsDue() const;

  const DeviceConditions& now() const { return now_; }  // before the first look: the defaults

 private:
  absl::StatusOr<DeviceConditions> Read(uint64_t training_bytes) const;

  const std::string personal_lock_;
  const GovernorLimits limits_;
  StateStore& state_;
  const Clock& clock_;
  DeviceConditions now_;
  std::optional<TimePoint> looked_;
};

}  // namespace fleetune
