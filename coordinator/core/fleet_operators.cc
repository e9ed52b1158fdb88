// Devices, models and tasks as operators change them.

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "coordinator/core/fleet_limits.h"
#include "coordinator/core/fleet_state.h"
#include "lora/adapter/refactoring.h"
#include "lora/plan/control_variates.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

bool IsModelName(std::string_view name) {
  return !name.empty() && name.size() <= 64 && std::ranges::all_of(name, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
  });
}

std::string Joined(const std::vector<std::string>& words, const std::string& before) {
  std::string text;
  for (const std::string& word : words) text += " " + before + word;
  return text;
}

std::vector<std::string> Retagged(std::vector<std::string> tags, const std::vector<std::string>& add,
                                  const std::vector<std::string>& remove) {
  std::erase_if(tags, [&](const std::string& tag) { return std::ranges::find(remove, tag) != remove.end(); });
  for (const std::string& tag : add) {
    if (std::ranges::find(tags, tag) == tags.end()) tags.push_back(tag);
  }
  return tags;
}

absl::StatusOr<DeviceRecord*> KnownDevice(FleetMemory& memory, const std::string& id) {
  const auto device = memory.devices.find(id);
  if (device == memory.devices.end()) return absl::NotFoundError("there is no device \"" + id + "\"");
  return &device->second;
}

std::vector<std::string> WarningsFor(const TaskSpec& spec) {
  std::vector<std::string> warnings;
  if (!spec.secure()) {
    warnings.push_back("secure_aggregation is off: the coordinator sees each device's update, not only their sum");
  }
  if (spec.needed_updates == 1) {
    warnings.push_back("round.needed is 1: a version may be made of one device's data alone");
  }
  return warnings;
}

// Version 0: nothing travels, everybody makes it from the plan.
VersionRecord FirstVersion(const FleetTask& task, TimePoint now) {
  const uint64_t seed = task.spec.plan.seed;
  VersionRecord version;
  version.task = task.record.name;
  version.hash = AdapterHash(Adapter::Initial(task.adapter, seed), seed);
  version.made = now;
  return version;
}

}  // namespace

absl::StatusOr<DeviceView> Fleet::TagDevice(const std::string& admin, const std::string& id,
                                            const std::vector<std::string>& add,
                                            const std::vector<std::string>& remove) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(DeviceRecord* const known, KnownDevice(state_->memory, id));
  DeviceRecord device = *known;
  device.tags = Retagged(std::move(device.tags), add, remove);
  RETURN_IF_ERROR(CheckDeviceTags(device.tags));
  RETURN_IF_ERROR(state_->Write({{AdminActor(admin), "device.tag", id + Joined(add, "+") + Joined(remove, "-")}},
                                [&](FleetTransaction& transaction) { return transaction.PutDevice(device); }));
  *known = device;
  return state_->View(device);
}

absl::StatusOr<DeviceView> Fleet::RevokeDevice(const std::string& admin, const std::string& id) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(DeviceRecord* const known, KnownDevice(state_->memory, id));
  if (known->revoked) return state_->View(*known);
  DeviceRecord device = *known;
  device.revoked = true;
  // Its places go to other devices. What is counted stays counted: a sum cannot be taken apart.
  std::vector<RoundStep> steps;
  for (const auto& [round_id, round] : state_->memory.rounds) {
    const auto seat = round.machine.SeatOf(id);
    if (seat == RoundSeat::kInvited || seat == RoundSeat::kUploading) {
      steps.push_back({.round = round_id, .events = {DeviceDeclined{.device = id, .reason = "revoked"}}});
    }
  }
  RETURN_IF_ERROR(state_->Advance(steps, {{AdminActor(admin), "device.revoke", id + " " + device.name}},
                                  [&](FleetTransaction& transaction) -> absl::Status {
                                    for (const RoundStep& step : steps) {
                                      RETURN_IF_ERROR(transaction.DeleteUpload(step.round, id));
                                    }
                                    return transaction.PutDevice(device);
                                  }));
  *known = device;
  return state_->View(device);
}

absl::StatusOr<BaseModel> Fleet::AddModel(const std::string& admin, const BaseModel& model) {
  RETURN_IF_ERROR(state_->Refresh());
  if (!IsModelName(model.name)) {
    return absl::InvalidArgumentError(
        "model name: expected 1 to 64 lower-case letters, digits, dots, underscores and hyphens, got \"" + model.name +
        "\"");
  }
  auto& models = state_->memory.models;
  const auto known = models.find(model.name);
  if (known != models.end()) {
    if (known->second.sha256 == model.sha256) return known->second;
    return absl::AlreadyExistsError("model \"" + model.name + "\" is another file, " + known->second.sha256.ToHex());
  }
  if (models.size() >= kMaxModels) {
    return absl::ResourceExhaustedError("there are " + std::to_string(kMaxModels) + " models already");
  }
  RETURN_IF_ERROR(state_->Write({{AdminActor(admin), "model.add", model.name + " " + model.sha256.ToHex()}},
                                [&](FleetTransaction& transaction) { return transaction.PutModel(model); }));
  models.emplace(model.name, model);
  return model;
}

absl::StatusOr<Fleet::CreatedTask> Fleet::CreateTask(const std::string& admin, std::string_view toml) {
  RETURN_IF_ERROR(state_->Refresh());
  FleetMemory& memory = state_->memory;
  TaskRecord record;
  record.toml = std::string(toml);
  record.releases = {0};
  ASSIGN_OR_RETURN(FleetTask task, MakeFleetTask(std::move(record), memory.models, *state_->ports.release_key));
  const std::string name = task.spec.plan.task;
  if (memory.tasks.contains(name)) return absl::AlreadyExistsError("there is already a task \"" + name + "\"");
  if (memory.tasks.size() >= kMaxTasks) {
    return absl::ResourceExhaustedError("there are " + std::to_string(kMaxTasks) + " tasks already");
  }
  if (const uint64_t trained = UpdateValues(task.spec.plan, task.most_trained()); trained > kMaxTaskParameters) {
    return absl::InvalidArgumentError("adapter: expected at most " + std::to_string(kMaxTaskParameters) +
                                      " values in an update, got " + std::to_string(trained) +
                                      ": lower the rank or train fewer projections");
  }
  if (task.spec.refactor_every > 0) {
    if (const absl::Status can = CheckRefactorable(task.adapter); !can.ok()) {
      return absl::InvalidArgumentError("server.refactor_every: " + std::string(can.message()));
    }
  }
  task.record.name = name;
  task.record.toml = FormatTaskSpec(task.spec);  // with all defaults, so that a later program reads the same
  const VersionRecord first = FirstVersion(task, state_->Now());
  RETURN_IF_ERROR(
      state_->Write({{AdminActor(admin), "task.create", name}}, [&](FleetTransaction& transaction) -> absl::Status {
        RETURN_IF_ERROR(transaction.PutTask(task.record));
        return transaction.PutVersion(first, {}, {});
      }));
  task.versions.emplace(0, first);
  CreatedTask created{.task = state_->View(task), .warnings = WarningsFor(task.spec)};
  memory.tasks.emplace(name, std::move(task));
  return created;
}

absl::StatusOr<TaskView> Fleet::PauseTask(const std::string& admin, const std::string& name, bool paused) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(name));
  TaskRecord record = task->record;
  record.paused = paused;
  RETURN_IF_ERROR(state_->Write({{AdminActor(admin), paused ? "task.pause" : "task.resume", name}},
                                [&](FleetTransaction& transaction) { return transaction.PutTask(record); }));
  task->record = record;
  return state_->View(*task);
}

}  // namespace fleetune
