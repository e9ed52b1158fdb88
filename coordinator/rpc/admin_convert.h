#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "coordinator/core/fleet.h"
#include "fleetune/v1/admin.pb.h"

namespace fleetune {

// Admin messages to domain objects and back; FromProto as in device_convert.h.

struct DeviceAddress {
  std::string host;
  uint16_t port = 0;
};
// "HOST:PORT" or "[IPV6]:PORT". InvalidArgument saying which of the two is wrong.
absl::StatusOr<DeviceAddress> ParseDeviceAddress(std::string_view text);

struct TokenOrder {
  TokenRequest token;
  DeviceAddress address;
};
struct DeviceTagging {
  std::string id;
  std::vector<std::string> add;
  std::vector<std::string> remove;
};
struct NamedThing {  // a device, task or round; which one is the call's matter
  std::string name;
};
struct TaskText {
  std::string toml;
};
struct TaskPause {
  std::string task;
  bool paused = false;
};
struct RoundAbortion {
  std::string round;
  std::string reason;
};
struct VersionChoice {
  std::string task;
  uint32_t version = 0;
};
struct VersionPair {
  std::string task;
  uint32_t from = 0;
  uint32_t to = 0;
};
struct ExportOrder {
  std::string task;
  uint32_t version = 0;
  std::string format;  // fleetune, peft, gguf
};
struct AuditQuery {
  uint64_t after_sequence = 0;
  uint32_t limit = 0;
};
struct Nothing {};

absl::StatusOr<TokenOrder> FromProto(const v1::CreateTokenRequest& message);
absl::StatusOr<NamedThing> FromProto(const v1::ListDevicesRequest& message);  // maybe empty
absl::StatusOr<DeviceTagging> FromProto(const v1::TagDeviceRequest& message);
absl::StatusOr<NamedThing> FromProto(const v1::RevokeDeviceRequest& message);
absl::StatusOr<Nothing> FromProto(const v1::ListModelsRequest& message);
absl::StatusOr<TaskText> FromProto(const v1::CreateTaskRequest& message);
absl::StatusOr<NamedThing> FromProto(const v1::ListTasksRequest& message);  // maybe empty
absl::StatusOr<TaskPause> FromProto(const v1::PauseTaskRequest& message);
absl::StatusOr<NamedThing> FromProto(const v1::StartRoundRequest& message);
absl::StatusOr<NamedThing> FromProto(const v1::GetRoundRequest& message);
absl::StatusOr<NamedThing> FromProto(const v1::ListRoundsRequest& message);  // maybe empty
absl::StatusOr<RoundAbortion> FromProto(const v1::AbortRoundRequest& message);
absl::StatusOr<NamedThing> FromProto(const v1::ListVersionsRequest& message);
absl::StatusOr<VersionPair> FromProto(const v1::DiffVersionsRequest& message);
absl::StatusOr<ExportOrder> FromProto(const v1::ExportVersionRequest& message);
absl::StatusOr<VersionChoice> FromProto(const v1::ReleaseVersionRequest& message);
absl::StatusOr<VersionChoice> FromProto(const v1::RollbackReleaseRequest& message);
absl::StatusOr<AuditQuery> FromProto(const v1::ReadAuditRequest& message);
absl::StatusOr<Nothing> FromProto(const v1::GetStatusRequest& message);
absl::StatusOr<Nothing> FromProto(const v1::BackupRequest& message);

v1::DeviceSummary ToProto(const DeviceView& device);
v1::ModelSummary ToProto(const BaseModel& model);
v1::TaskSummary ToProto(const TaskView& task);
v1::RoundSummary ToProto(const RoundView& round);
v1::VersionSummary ToProto(const VersionView& version);
v1::DiffVersionsResponse ToProto(const std::vector<ModuleDifference>& modules);
v1::ReadAuditResponse ToProto(const Fleet::AuditPage& page);

}  // namespace fleetune
