#include "coordinator/rpc/admin_convert.h"

#include <charconv>
#include <cmath>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "coordinator/rpc/fields.h"
#include "coordinator/rpc/message_limits.h"
#include "proto/enrollment_token.h"

namespace fleetune {
namespace {

int64_t MillisOrZero(const std::optional<TimePoint>& time) { return time.has_value() ? ToMillis(*time) : 0; }

absl::StatusOr<NamedThing> Name(const char* field, const std::string& value) {
  RETURN_IF_ERROR(CheckNameField(field, value));
  return NamedThing{value};
}

absl::StatusOr<NamedThing> NameOrAll(const char* field, const std::string& value) {
  RETURN_IF_ERROR(CheckOptionalNameField(field, value));
  return NamedThing{value};
}

void FillPrivacy(const PrivacyView& privacy, v1::PrivacySummary& message) {
  message.set_noise_multiplier(privacy.noise_multiplier);
  message.set_epsilon_limit(privacy.limit);
  message.set_delta(privacy.delta);
  message.set_cell_epsilon(privacy.cell_epsilon);
  message.set_cells(privacy.cells);
  message.set_epsilon(privacy.epsilon);
  message.set_outsider_epsilon(privacy.outsider_epsilon);
  message.set_no_round(privacy.no_round);
}

}  // namespace

absl::StatusOr<DeviceAddress> ParseDeviceAddress(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) {
    return absl::InvalidArgumentError(fmt::format("address: expected HOST:PORT, got '{}'", text));
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view port = text.substr(colon + 1);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.size() > kMaxTokenHostBytes) {
    return absl::InvalidArgumentError(fmt::format("address: expected a host before the colon, got '{}'", text));
  }
  DeviceAddress address{.host = std::string(host)};
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size() || address.port == 0) {
    return absl::InvalidArgumentError(fmt::format("address: expected a port of 1 to 65535, got '{}'", port));
  }
  return address;
}

absl::StatusOr<TokenOrder> FromProto(const v1::CreateTokenRequest& message) {
  RETURN_IF_ERROR(CheckRangeField("uses", message.uses(), 1, kMaxTokenUses));
  RETURN_IF_ERROR(CheckRangeField("lifetime_seconds", message.lifetime_seconds(), 1, static_cast<uint64_t>(kMaxTokenLifetime.count())));
  TokenOrder order;
  order.token.uses = message.uses();
  order.token.lifetime = std::chrono::seconds(message.lifetime_seconds());
  ASSIGN_OR_RETURN(order.token.tags, TagsField("tags", message.tags()));
  ASSIGN_OR_RETURN(order.address, ParseDeviceAddress(message.address()));
  return order;
}

absl::StatusOr<NamedThing> FromProto(const v1::ListDevicesRequest& message) {
  RETURN_IF_ERROR(CheckWordsField("id", message.id(), kMaxNameBytes));  // a name may have spaces
  return NamedThing{message.id()};
}

absl::StatusOr<DeviceTagging> FromProto(const v1::TagDeviceRequest& message) {
  RETURN_IF_ERROR(CheckNameField("id", message.id()));
  DeviceTagging tagging{.id = message.id(), .add = {}, .remove = {}};
  ASSIGN_OR_RETURN(tagging.add, TagsField("add", message.add()));
  ASSIGN_OR_RETURN(tagging.remove, TagsField("remove", message.remove()));
  if (tagging.add.empty() && tagging.remove.empty()) {
    return absl::InvalidArgumentError("add, remove: expected at least one tag, got none");
  }
  return tagging;
}

absl::StatusOr<NamedThing> FromProto(const v1::RevokeDeviceRequest& message) { return Name("id", message.id()); }
absl::StatusOr<Nothing> FromProto(const v1::ListModelsRequest&) { return Nothing{}; }

absl::StatusOr<TaskText> FromProto(const v1::CreateTaskRequest& message) {
  RETURN_IF_ERROR(CheckRangeField("toml: bytes", message.toml().size(), 1, kMaxTaskTomlBytes));
  return TaskText{message.toml()};
}

absl::StatusOr<NamedThing> FromProto(const v1::ListTasksRequest& message) { return NameOrAll("name", message.name()); }

absl::StatusOr<TaskPause> FromProto(const v1::PauseTaskRequest& message) {
  RETURN_IF_ERROR(CheckNameField("name", message.name()));
  return TaskPause{.task = message.name(), .paused = message.paused()};
}

absl::StatusOr<NamedThing> FromProto(const v1::StartRoundRequest& message) { return Name("task", message.task()); }
absl::StatusOr<NamedThing> FromProto(const v1::GetRoundRequest& message) { return Name("id", message.id()); }
absl::StatusOr<NamedThing> FromProto(const v1::ListRoundsRequest& message) { return NameOrAll("task", message.task()); }

absl::StatusOr<RoundAbortion> FromProto(const v1::AbortRoundRequest& message) {
  RETURN_IF_ERROR(CheckNameField("id", message.id()));
  RETURN_IF_ERROR(CheckWordsField("reason", message.reason(), kMaxReasonBytes));
  return RoundAbortion{.round = message.id(), .reason = message.reason()};
}

absl::StatusOr<NamedThing> FromProto(const v1::ListVersionsRequest& message) { return Name("task", message.task()); }

absl::StatusOr<VersionPair> FromProto(const v1::DiffVersionsRequest& message) {
  RETURN_IF_ERROR(CheckNameField("task", message.task()));
  return VersionPair{.task = message.task(), .from = message.from(), .to = message.to()};
}

absl::StatusOr<ExportOrder> FromProto(const v1::ExportVersionRequest& message) {
  RETURN_IF_ERROR(CheckNameField("task", message.task()));
  if (message.format() != "fleetune" && message.format() != "peft" && message.format() != "gguf") {
    return absl::InvalidArgumentError("format: expected fleetune, peft or gguf");
  }
  return ExportOrder{.task = message.task(), .version = message.version(), .format = message.format()};
}

absl::StatusOr<VersionChoice> FromProto(const v1::ReleaseVersionRequest& message) {
  RETURN_IF_ERROR(CheckNameField("task", message.task()));
  return VersionChoice{.task = message.task(), .version = message.version()};
}

absl::StatusOr<VersionChoice> FromProto(const v1::RollbackReleaseRequest& message) {
  RETURN_IF_ERROR(CheckNameField("task", message.task()));
  return VersionChoice{.task = message.task(), .version = message.version()};
}

absl::StatusOr<AuditQuery> FromProto(const v1::ReadAuditRequest& message) {
  RETURN_IF_ERROR(CheckRangeField("limit", message.limit(), 0, kMaxAuditPage));
  return AuditQuery{.after_sequence = message.after_sequence(),
                    .limit = message.limit() == 0 ? kDefaultAuditPage : message.limit()};
}

absl::StatusOr<Nothing> FromProto(const v1::GetStatusRequest&) { return Nothing{}; }
absl::StatusOr<Nothing> FromProto(const v1::BackupRequest&) { return Nothing{}; }

v1::DeviceSummary ToProto(const DeviceView& device) {
  v1::DeviceSummary message;
  message.set_id(device.id);
  message.set_name(device.name);
  message.mutable_tags()->Add(device.tags.begin(), device.tags.end());
  message.set_revoked(device.revoked);
  message.set_enrolled_unix_ms(ToMillis(device.enrolled));
  message.set_last_seen_unix_ms(MillisOrZero(device.last_seen));
  message.set_software_version(device.report.software_version);
  message.set_profile(device.report.profile);
  message.set_memory_budget_bytes(device.report.memory_budget_bytes);
  message.set_ready_to_train(device.report.ready_to_train);
  message.set_not_ready_reason(device.report.not_ready_reason);
  message.set_examples(device.examples);
  message.set_rounds_counted(device.rounds_counted);
  message.set_not_invited(device.not_invited);
  return message;
}

v1::ModelSummary ToProto(const BaseModel& model) {
  v1::ModelSummary message;
  message.set_name(model.name);
  message.set_sha256(ToBytesField(model.sha256));
  message.set_size(model.size_bytes);
  message.set_architecture(model.architecture);
  message.set_layers(model.layers);
  message.set_width(model.width);
  return message;
}

v1::TaskSummary ToProto(const TaskView& task) {
  v1::TaskSummary message;
  message.set_name(task.spec.plan.task);
  message.set_paused(task.paused);
  message.set_toml(FormatTaskSpec(task.spec));
  message.set_head_version(task.head_version);
  message.set_released_version(task.released_version);
  message.set_trained_parameters(task.trained_parameters);
  message.set_rounds_finished(task.rounds_finished);
  message.set_open_round(task.open_round);
  message.set_model_name(task.spec.model_name);
  message.set_protection(task.protection);
  if (task.privacy.has_value()) FillPrivacy(*task.privacy, *message.mutable_privacy());
  message.set_method(task.method);
  return message;
}

v1::RoundSummary ToProto(const RoundView& round) {
  v1::RoundSummary message;
  message.set_id(round.id);
  message.set_task(round.task);
  message.set_number(round.number);
  message.set_state(round.state);
  message.set_reason(round.reason);
  message.set_from_version(round.from_version);
  message.set_made_version(round.made_version);
  message.set_needed(round.needed);
  message.set_invited(round.invited);
  message.set_counted(round.counted);
  message.set_declined(round.declined);
  message.set_total_weight(round.total_weight);
  message.set_bytes_up(round.bytes_up);
  message.set_bytes_down(round.bytes_down);
  message.set_started_unix_ms(ToMillis(round.started));
  message.set_ended_unix_ms(MillisOrZero(round.ended));
  message.set_deadline_unix_ms(ToMillis(round.deadline));
  for (const RoundDeviceView& device : round.devices) {
    v1::RoundDevice* row = message.add_devices();
    row->set_device(device.device);
    row->set_state(device.state);
    row->set_reason(device.reason);
  }
  message.set_mean_delta_norm(round.mean_delta_norm);
  for (const CellView& cell : round.cells) {
    v1::CellSummary* row = message.add_cells();
    row->set_number(cell.number);
    row->set_state(cell.state);
    row->set_reason(cell.reason);
    row->set_seats(cell.seats);
    row->set_counted(cell.counted);
  }
  message.set_clamped_share(round.clamped_share);
  message.set_clipped_devices_share(round.clipped_devices_share);
  message.set_mean_peak_share(round.mean_peak_share);
  if (round.privacy.has_value()) FillPrivacy(*round.privacy, *message.mutable_privacy());
  message.set_charged_cells(round.charged_cells);
  return message;
}

v1::VersionSummary ToProto(const VersionView& version) {
  v1::VersionSummary message;
  message.set_task(version.task);
  message.set_version(version.version);
  message.set_parent(version.parent);
  message.set_hash(ToBytesField(version.hash));
  message.set_update_bytes(version.update_bytes);
  message.set_snapshot_bytes(version.snapshot_bytes);
  message.set_made_unix_ms(ToMillis(version.made));
  message.set_round(version.round);
  message.set_head(version.head);
  message.set_released(version.released);
  return message;
}

v1::DiffVersionsResponse ToProto(const std::vector<ModuleDifference>& modules) {
  v1::DiffVersionsResponse message;
  double squares = 0;
  for (const ModuleDifference& module : modules) {
    v1::ModuleDiff* row = message.add_modules();
    row->set_module(module.module);
    row->set_norm(module.norm);
    row->set_relative(module.relative);
    squares += module.norm * module.norm;
  }
  message.set_norm(std::sqrt(squares));
  return message;
}

v1::ReadAuditResponse ToProto(const Fleet::AuditPage& page) {
  v1::ReadAuditResponse message;
  for (const AuditRecord& record : page.records) {
    v1::AuditEntry* entry = message.add_entries();
    entry->set_sequence(record.sequence);
    entry->set_unix_ms(ToMillis(record.time));
    entry->set_actor(record.actor);
    entry->set_action(record.action);
    entry->set_detail(record.detail);
    entry->set_hash(ToBytesField(record.hash));
  }
  message.set_chain_intact(page.chain_intact);
  return message;
}

}  // namespace fleetune
