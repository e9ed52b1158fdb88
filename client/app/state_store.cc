#include "client/app/state_store.h"

#include <nlohmann/json.hpp>

#include "base/status_macros.h"
#include "client/app/state_json.h"

namespace fleetune {
namespace {
constexpr const char* kSteps[] = {
    "CREATE TABLE device_state (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT",
    // aggregation/privacy/privacy_charge.h
    "CREATE TABLE privacy_charges (session BLOB PRIMARY KEY, record BLOB NOT NULL) STRICT",
};
}  // namespace

absl::StatusOr<StateStore> StateStore::Open(const std::string& path) {
  ASSIGN_OR_RETURN(DeviceDatabase database, DeviceDatabase::Open(path));
  RETURN_IF_ERROR(database.Migrate("device_state", kSteps));
  return StateStore(std::move(database));
}

absl::StatusOr<DeviceState> StateStore::Load() {
  ASSIGN_OR_RETURN(std::optional<std::string> text, Get("agent"));
  if (!text.has_value()) return DeviceState{};
  return ParseDeviceState(*text);
}

absl::Status StateStore::Save(const DeviceState& state) { return Put("agent", FormatDeviceState(state)); }

absl::StatusOr<std::vector<PrivacyCharge>> StateStore::Charges() {
  ASSIGN_OR_RETURN(DeviceStatement select, database_.Prepare("SELECT record FROM privacy_charges"));
  std::vector<PrivacyCharge> charges;
  for (;;) {
    ASSIGN_OR_RETURN(const bool found, select.Step());
    if (!found) return charges;
    absl::StatusOr<PrivacyCharge> charge = DecodePrivacyCharge(select.Blob(0));
    if (!charge.ok()) {
      return absl::DataLossError("a record of the privacy ledger is damaged: " + std::string(charge.status().message()));
    }
    charges.push_back(*std::move(charge));
  }
}

absl::Status StateStore::AppendCharge(const PrivacyCharge& charge) {
  const Bytes record = EncodePrivacyCharge(charge);
  return database_.Write([&]() -> absl::Status {
    ASSIGN_OR_RETURN(DeviceStatement insert,
                     database_.Prepare("INSERT INTO privacy_charges (session, record) VALUES (?1, ?2) "
                                       "ON CONFLICT (session) DO NOTHING"));
    insert.Bind(1, std::span<const uint8_t>(charge.session.bytes));
    insert.Bind(2, std::span<const uint8_t>(record));
    return insert.Run();
  });
}

absl::StatusOr<bool> StateStore::IsPaused() {
  ASSIGN_OR_RETURN(std::optional<std::string> text, Get("paused"));
  return text == "yes";
}

absl::Status StateStore::SetPaused(bool paused) { return Put("paused", paused ? "yes" : "no"); }

absl::StatusOr<Heartbeat> StateStore::ReadHeartbeat() {
  ASSIGN_OR_RETURN(std::optional<std::string> text, Get("heartbeat"));
  Heartbeat heartbeat;
  if (!text.has_value()) return heartbeat;
  try {
    const nlohmann::json value = nlohmann::json::parse(*text);
    heartbeat.phase = value.at("phase");
    heartbeat.detail = value.at("detail");
    heartbeat.time = FromMillis(value.at("time"));
    heartbeat.last_check_in = FromMillis(value.at("last_check_in"));
    heartbeat.next_check_in = FromMillis(value.at("next_check_in"));
  } catch (const std::exception& error) {
    return absl::DataLossError(std::string("the daemon's heartbeat is damaged: ") + error.what());
  }
  return heartbeat;
}

absl::Status StateStore::WriteHeartbeat(const Heartbeat& heartbeat) {
  const nlohmann::json value = {{"phase", heartbeat.phase},
                                {"detail", heartbeat.detail},
                                {"time", ToMillis(heartbeat.time)},
                                {"last_check_in", ToMillis(heartbeat.last_check_in)},
                                {"next_check_in", ToMillis(heartbeat.next_check_in)}};
  return Put("heartbeat", value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
}

absl::StatusOr<std::optional<ServingRecord>> StateStore::ReadServing() {
  ASSIGN_OR_RETURN(const std::optional<std::string> text, Get("serving"));
  if (!text.has_value()) return std::optional<ServingRecord>();
  try {
    const nlohmann::json value = nlohmann::json::parse(*text);
    if (value.is_null()) return std::optional<ServingRecord>();
    ServingRecord serving{.since = FromMillis(value.at("since")),
                          .answers = value.at("answers"),
                          .in_budget = value.at("in_budget"),
                          .answer_time = std::chrono::milliseconds(value.at("answer_ms").get<int64_t>()),
                          .read_tokens = value.at("read_tokens"),
                          .written_tokens = value.at("written_tokens"),
                          .reading_speed = {},
                          .writing_speed = {},
                          .memory_bytes = value.at("memory_bytes"),
                          .most_memory_bytes = value.at("most_memory_bytes")};
    if (value.contains("reading_speed")) serving.reading_speed = value.at("reading_speed").get<double>();
    if (value.contains("writing_speed")) serving.writing_speed = value.at("writing_speed").get<double>();
    return std::optional(serving);
  } catch (const std::exception& error) {
    return absl::DataLossError(std::string("the daemon's figures of answers are damaged: ") + error.what());
  }
}

absl::Status StateStore::WriteServing(const std::optional<ServingRecord>& serving) {
  nlohmann::json value;
  if (serving.has_value()) {
    value = {{"since", ToMillis(serving->since)},
             {"answers", serving->answers},
             {"in_budget", serving->in_budget},
             {"answer_ms", serving->answer_time.count()},
             {"read_tokens", serving->read_tokens},
             {"written_tokens", serving->written_tokens},
             {"memory_bytes", serving->memory_bytes},
             {"most_memory_bytes", serving->most_memory_bytes}};
    if (serving->reading_speed.has_value()) value["reading_speed"] = *serving->reading_speed;
    if (serving->writing_speed.has_value()) value["writing_speed"] = *serving->writing_speed;
  }
  return Put("serving", value.dump());
}

absl::StatusOr<std::vector<TaskPrivacy>> StateStore::ReadTasks() {
  ASSIGN_OR_RETURN(std::optional<std::string> text, Get("tasks"));
  std::vector<TaskPrivacy> tasks;
  if (!text.has_value()) return tasks;
  try {
    for (const nlohmann::json& value : nlohmann::json::parse(*text)) {
      tasks.push_back({.task = value.at("task"),
                       .secure = {.mode = static_cast<SecureMode>(value.at("mode").get<uint8_t>()),
                                  .min_cohort = value.at("min_cohort"),
                                  .min_survivors = value.at("min_survivors"),
                                  .adversarial = value.at("adversarial"),
                                  .dropout = value.at("dropout")},
                       .privacy = {.noise_multiplier = value.at("noise_multiplier"),
                                   .delta = value.at("delta"),
                                   .device_epsilon_limit = value.at("device_epsilon_limit"),
                                   .rounding_overhead = value.at("rounding_overhead")}});
    }
  } catch (const std::exception& error) {
    return absl::DataLossError(std::string("the daemon's list of tasks is damaged: ") + error.what());
  }
  return tasks;
}

absl::Status StateStore::WriteTasks(const std::vector<TaskPrivacy>& tasks) {
  nlohmann::json values = nlohmann::json::array();
  for (const TaskPrivacy& task : tasks) {
    values.push_back({{"task", task.task},
                      {"mode", static_cast<uint8_t>(task.secure.mode)},
                      {"min_cohort", task.secure.min_cohort},
                      {"min_survivors", task.secure.min_survivors},
                      {"adversarial", task.secure.adversarial},
                      {"dropout", task.secure.dropout},
                      {"noise_multiplier", task.privacy.noise_multiplier},
                      {"delta", task.privacy.delta},
                      {"device_epsilon_limit", task.privacy.device_epsilon_limit},
                      {"rounding_overhead", task.privacy.rounding_overhead}});
  }
  return Put("tasks", values.dump());
}

absl::StatusOr<std::optional<std::string>> StateStore::Get(std::string_view name) {
  ASSIGN_OR_RETURN(DeviceStatement select, database_.Prepare("SELECT value FROM device_state WHERE name = ?1"));
  select.Bind(1, name);
  ASSIGN_OR_RETURN(const bool found, select.Step());
  if (!found) return std::optional<std::string>();
  std::optional<std::string> value = select.Text(0);
  select.Reset();
  return value;
}

absl::Status StateStore::Put(std::string_view name, std::string_view value) {
  return database_.Write([&]() -> absl::Status {
    ASSIGN_OR_RETURN(DeviceStatement insert,
                     database_.Prepare("INSERT INTO device_state (name, value) VALUES (?1, ?2) "
                                       "ON CONFLICT (name) DO UPDATE SET value = excluded.value"));
    insert.Bind(1, name);
    insert.Bind(2, value);
    return insert.Run();
  });
}

}  // namespace fleetune
