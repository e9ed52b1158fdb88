#pragma once

#include <chrono>
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

// What the daemon's API came to since the daemon began, for `status`.
struct ServingRecord {
  TimePoint since = {};
  uint64_t answers = 0;
  uint64_t in_budget = 0;                     // of them, that took less than `answer_time`
  std::chrono::milliseconds answer_time{};
  uint64_t read_tokens = 0;                   // of prompts, that were computed
  uint64_t written_tokens = 0;                // of answers
  std::optional<double> reading_speed = {};   // tokens a second; none before there were any
  std::optional<double> writing_speed = {};
  uint64_t memory_bytes = 0;                  // of the daemon, the mapped model included, and its trainer
  uint64_t most_memory_bytes = 0;             // of the daemon so far

  friend bool operator==(const ServingRecord&, const ServingRecord&) = default;
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

  // Nothing unless the daemon serves the API.
  absl::StatusOr<std::optional<ServingRecord>> ReadServing();
  absl::Status WriteServing(const std::optional<ServingRecord>& serving);

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
