// Versions as operators see them, and which of them devices answer with.

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/status_macros.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {
namespace {

// Head and release may not move under an open round: its version is made from the head that it began with.
absl::Status CheckNoOpenRound(const OpenRound* open) {
  if (open == nullptr) return absl::OkStatus();
  return absl::FailedPreconditionError("round " + open->record.id + " is open: wait for its end, or abort it");
}

// What the released version was before; a given earlier one must be a version of the task.
absl::StatusOr<uint32_t> RollbackTarget(const FleetTask& task, uint32_t version) {
  const std::vector<uint32_t>& releases = task.record.releases;
  if (version == 0) {
    if (releases.size() < 2) {
      return absl::FailedPreconditionError("task " + task.record.name + " has released nothing before version " +
                                           std::to_string(releases.back()));
    }
    return releases[releases.size() - 2];
  }
  if (!task.versions.contains(version)) {
    return absl::NotFoundError("task " + task.record.name + " has no version " + std::to_string(version));
  }
  if (version >= releases.back()) {
    return absl::FailedPreconditionError("version " + std::to_string(version) + " is not earlier than the released " +
                                         std::to_string(releases.back()));
  }
  return version;
}

// The history up to the last time that `version` was released; just it if it never was.
std::vector<uint32_t> HistoryUpTo(std::vector<uint32_t> releases, uint32_t version) {
  while (!releases.empty() && releases.back() != version) releases.pop_back();
  if (releases.empty()) releases.push_back(version);
  return releases;
}

std::string ModuleName(const LoraModule& module) {
  return "blk." + std::to_string(module.layer) + "." + std::string(ProjectionName(module.projection));
}

ModuleDifference DifferenceOf(const LoraModule& module, const Adapter& from, const Adapter& to) {
  double difference = 0;
  double base = 0;
  const std::span<const float> before = from.b(module);
  const std::span<const float> after = to.b(module);
  for (size_t i = 0; i < before.size(); ++i) {
    const double step = double{after[i]} - before[i];
    difference += step * step;
    base += double{before[i]} * before[i];
  }
  return {.module = ModuleName(module),
          .norm = std::sqrt(difference),
          .relative = base > 0 ? std::sqrt(difference / base) : 0};
}

}  // namespace

absl::StatusOr<TaskView> Fleet::Release(const std::string& admin, const std::string& task_name, uint32_t version) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(task_name));
  if (!task->versions.contains(version)) {
    return absl::NotFoundError("task " + task_name + " has no version " + std::to_string(version));
  }
  TaskRecord record = task->record;
  if (record.head_version != version) RETURN_IF_ERROR(CheckNoOpenRound(state_->OpenRoundOf(task_name)));
  record.head_version = version;
  AppendRelease(record, version);
  RETURN_IF_ERROR(
      state_->Write({{AdminActor(admin), "version.release", task_name + " version " + std::to_string(version)}},
                    [&](FleetTransaction& transaction) { return transaction.PutTask(record); }));
  task->record = record;
  return state_->View(*task);
}

absl::StatusOr<TaskView> Fleet::Rollback(const std::string& admin, const std::string& task_name, uint32_t version) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(task_name));
  RETURN_IF_ERROR(CheckNoOpenRound(state_->OpenRoundOf(task_name)));
  ASSIGN_OR_RETURN(const uint32_t target, RollbackTarget(*task, version));
  TaskRecord record = task->record;
  // What was released last is given up, even if the target comes again further back.
  record.releases.pop_back();
  record.releases = HistoryUpTo(std::move(record.releases), target);
  record.head_version = target;
  RETURN_IF_ERROR(
      state_->Write({{AdminActor(admin), "version.rollback", task_name + " to version " + std::to_string(target)}},
                    [&](FleetTransaction& transaction) { return transaction.PutTask(record); }));
  task->record = record;
  return state_->View(*task);
}

absl::StatusOr<std::vector<VersionView>> Fleet::Versions(const std::string& task_name) const {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(task_name));
  std::vector<VersionView> views;
  for (const auto& [number, record] : task->versions) {
    views.push_back({.task = task_name,
                     .version = number,
                     .parent = record.parent,
                     .hash = record.hash,
                     .update_bytes = record.update_bytes,
                     .snapshot_bytes = record.snapshot_bytes,
                     .made = record.made,
                     .round = record.round,
                     .head = number == task->record.head_version,
                     .released = number == task->released_version()});
  }
  return views;
}

absl::StatusOr<std::vector<ModuleDifference>> Fleet::DiffVersions(const std::string& task_name, uint32_t from,
                                                                  uint32_t to) const {
  ASSIGN_OR_RETURN(const Adapter before, VersionAdapter(task_name, from));
  ASSIGN_OR_RETURN(const Adapter after, VersionAdapter(task_name, to));
  std::vector<ModuleDifference> differences;
  for (const LoraModule& module : before.spec().modules()) {
    differences.push_back(DifferenceOf(module, before, after));
  }
  return differences;
}

}  // namespace fleetune
