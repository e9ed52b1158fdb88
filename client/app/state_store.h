#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/core/ports.h"
#include "client/data/database.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What the daemon is doing, for `status`.
struct Heartbeat {
  std::string phase = "stopped";  // stopped, idle, checking in, downloading, training, uploading, averaging, paused, offline
  std::string detail;             // in words; may be empty
  TimePoint time;                 // of the last change
  TimePoint last_check_in;        // epoch: never
  TimePoint next_check_in;

  friend bool operator==(const Heartbeat&, const Heartbeat&) = default;
};

// What a task that concerns this device does with updates, for `status`.
struct TaskPrivacy {
  std::string task;
  SecurePlan secure;
  PrivacyPlan privacy;

  friend bool operator==(const TaskPrivacy&, const TaskPrivacy&) = default;
};

// What daemon and verbs share in a device's folder: the agent's state, the privacy ledger, what the owner asked for, and
// what the daemon is doing. SQLite, so several processes may have it open. Not thread-safe.
class StateStore final : public DeviceStateStore, public ChargeStore {
 public:
  static absl::StatusOr<StateStore> Open(const std::string& path);

  absl::StatusOr<DeviceState> Load() override;
  absl::Status Save(const DeviceState& state) override;

  absl::StatusOr<std::vector<PrivacyCharge>> Charges() override;
  absl::Status AppendCharge(const PrivacyCharge& charge) override;

  absl::StatusOr<bool> IsPaused();
  absl::Status SetPaused(bool paused);

  absl::StatusOr<Heartbeat> ReadHeartbeat();
  absl::Status WriteHeartbeat(const Heartbeat& heartbeat);

  // The tasks of the last check-in.
  absl::StatusOr<std::vector<TaskPrivacy>> ReadTasks();
  absl::Status WriteTasks(const std::vector<TaskPrivacy>& tasks);

 private:
  explicit StateStore(DeviceDatabase database) : database_(std::move(database)) {}
  absl::StatusOr<std::optional<std::string>> Get(std::string_view name);
  absl::Status Put(std::string_view name, std::string_view value);

  DeviceDatabase database_;
};

}  // namespace fleetune
