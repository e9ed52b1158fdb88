#include "coordinator/rpc/admin_service.h"

#include "base/status_macros.h"
#include "coordinator/rpc/admin_convert.h"
#include "coordinator/rpc/message_limits.h"
#include "coordinator/rpc/model_upload.h"
#include "proto/enrollment_token.h"

namespace fleetune {

using Context = AdminServiceImpl::Context;
using Reactor = AdminServiceImpl::Reactor;

namespace {

// Answers with what `view` gives, as a message.
template <typename View, typename Response>
absl::Status Put(absl::StatusOr<View> view, Response* response) {
  RETURN_IF_ERROR(view.status());
  *response = ToProto(*view);
  return absl::OkStatus();
}

absl::StatusOr<BaseModel> BaseOfTask(const Fleet& fleet, const std::string& task) {
  ASSIGN_OR_RETURN(const std::vector<TaskView> tasks, fleet.Tasks(task));
  if (tasks.empty()) return absl::NotFoundError("there is no such task");
  for (BaseModel& model : fleet.Models()) {
    if (model.sha256 == tasks[0].spec.plan.base) return std::move(model);
  }
  return absl::NotFoundError("the base model of this task is gone");
}

}  // namespace

Reactor* AdminServiceImpl::CreateToken(Context* context, const v1::CreateTokenRequest* request,
                                       v1::CreateTokenResponse* response) {
  return desk_.AnswerAdmin(
      {context, "CreateToken"}, AdminRole::kAdmin, FromProto(*request),
      [this, response](Fleet& fleet, const std::string& admin, const TokenOrder& order) -> absl::Status {
        EnrollmentToken token{.host = order.address.host,
                              .port = order.address.port,
                              .ca_fingerprint = desk_.ports().ca_fingerprint,
                              .secret = {}};
        // Tried before a secret is made: a bad address must not leave a token that nobody holds.
        RETURN_IF_ERROR(FormatEnrollmentToken(token).status());
        ASSIGN_OR_RETURN(const NewToken made, fleet.CreateToken(admin, order.token));
        if (made.secret.size() != token.secret.size()) return absl::InternalError("a token's secret has 32 bytes");
        std::copy(made.secret.begin(), made.secret.end(), token.secret.begin());
        ASSIGN_OR_RETURN(std::string text, FormatEnrollmentToken(token));
        response->set_token(std::move(text));
        response->set_expires_unix_ms(ToMillis(made.expires));
        return absl::OkStatus();
      });
}

Reactor* AdminServiceImpl::ListDevices(Context* context, const v1::ListDevicesRequest* request,
                                       v1::ListDevicesResponse* response) {
  return desk_.AnswerAdmin(
      {context, "ListDevices"}, AdminRole::kViewer, FromProto(*request),
      [response](Fleet& fleet, const std::string&, const NamedThing& device) -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<DeviceView> devices, fleet.Devices(device.name));
        for (const DeviceView& view : devices) *response->add_devices() = ToProto(view);
        return absl::OkStatus();
      });
}

Reactor* AdminServiceImpl::TagDevice(Context* context, const v1::TagDeviceRequest* request,
                                     v1::DeviceSummary* response) {
  return desk_.AnswerAdmin({context, "TagDevice"}, AdminRole::kOperator, FromProto(*request),
                           [response](Fleet& fleet, const std::string& admin, const DeviceTagging& tagging) {
                             return Put(fleet.TagDevice(admin, tagging.id, tagging.add, tagging.remove), response);
                           });
}

Reactor* AdminServiceImpl::RevokeDevice(Context* context, const v1::RevokeDeviceRequest* request,
                                        v1::DeviceSummary* response) {
  return desk_.AnswerAdmin({context, "RevokeDevice"}, AdminRole::kAdmin, FromProto(*request),
                           [response](Fleet& fleet, const std::string& admin, const NamedThing& device) {
                             return Put(fleet.RevokeDevice(admin, device.name), response);
                           });
}

grpc::ServerReadReactor<v1::AddModelRequest>* AdminServiceImpl::AddModel(Context* context,
                                                                         v1::ModelSummary* response) {
  return StartModelUpload(desk_.ports(), context, response);
}

Reactor* AdminServiceImpl::ListModels(Context* context, const v1::ListModelsRequest* request,
                                      v1::ListModelsResponse* response) {
  return desk_.AnswerAdmin({context, "ListModels"}, AdminRole::kViewer, FromProto(*request),
                           [response](Fleet& fleet, const std::string&, const Nothing&) {
                             for (const BaseModel& model : fleet.Models()) *response->add_models() = ToProto(model);
                             return absl::OkStatus();
                           });
}

Reactor* AdminServiceImpl::CreateTask(Context* context, const v1::CreateTaskRequest* request,
                                      v1::CreateTaskResponse* response) {
  return desk_.AnswerAdmin(
      {context, "CreateTask"}, AdminRole::kOperator, FromProto(*request),
      [response](Fleet& fleet, const std::string& admin, const TaskText& text) -> absl::Status {
        ASSIGN_OR_RETURN(const Fleet::CreatedTask created, fleet.CreateTask(admin, text.toml));
        *response->mutable_task() = ToProto(created.task);
        for (const std::string& warning : created.warnings) response->add_warnings(warning);
        return absl::OkStatus();
      });
}

Reactor* AdminServiceImpl::ListTasks(Context* context, const v1::ListTasksRequest* request,
                                     v1::ListTasksResponse* response) {
  return desk_.AnswerAdmin({context, "ListTasks"}, AdminRole::kViewer, FromProto(*request),
                           [response](Fleet& fleet, const std::string&, const NamedThing& task) -> absl::Status {
                             ASSIGN_OR_RETURN(const std::vector<TaskView> tasks, fleet.Tasks(task.name));
                             for (const TaskView& view : tasks) *response->add_tasks() = ToProto(view);
                             return absl::OkStatus();
                           });
}

Reactor* AdminServiceImpl::PauseTask(Context* context, const v1::PauseTaskRequest* request,
                                     v1::TaskSummary* response) {
  return desk_.AnswerAdmin({context, "PauseTask"}, AdminRole::kOperator, FromProto(*request),
                           [response](Fleet& fleet, const std::string& admin, const TaskPause& pause) {
                             return Put(fleet.PauseTask(admin, pause.task, pause.paused), response);
                           });
}

Reactor* AdminServiceImpl::StartRound(Context* context, const v1::StartRoundRequest* request,
                                      v1::RoundSummary* response) {
  return desk_.AnswerAdmin({context, "StartRound"}, AdminRole::kOperator, FromProto(*request),
                           [response](Fleet& fleet, const std::string& admin, const NamedThing& task) {
                             return Put(fleet.StartRound(admin, task.name), response);
                           });
}

Reactor* AdminServiceImpl::GetRound(Context* context, const v1::GetRoundRequest* request, v1::RoundSummary* response) {
  return desk_.AnswerAdmin({context, "GetRound"}, AdminRole::kViewer, FromProto(*request),
                           [response](Fleet& fleet, const std::string&, const NamedThing& round) {
                             return Put(fleet.Round(round.name), response);
                           });
}

Reactor* AdminServiceImpl::ListRounds(Context* context, const v1::ListRoundsRequest* request,
                                      v1::ListRoundsResponse* response) {
  return desk_.AnswerAdmin({context, "ListRounds"}, AdminRole::kViewer, FromProto(*request),
                           [response](Fleet& fleet, const std::string&, const NamedThing& task) {
                             for (RoundView& round : fleet.Rounds(task.name)) {
                               round.devices.clear();
                               *response->add_rounds() = ToProto(round);
                             }
                             return absl::OkStatus();
                           });
}

Reactor* AdminServiceImpl::AbortRound(Context* context, const v1::AbortRoundRequest* request,
                                      v1::RoundSummary* response) {
  return desk_.AnswerAdmin({context, "AbortRound"}, AdminRole::kOperator, FromProto(*request),
                           [response](Fleet& fleet, const std::string& admin, const RoundAbortion& abortion) {
                             return Put(fleet.AbortRound(admin, abortion.round, abortion.reason), response);
                           });
}

Reactor* AdminServiceImpl::ListVersions(Context* context, const v1::ListVersionsRequest* request,
                                        v1::ListVersionsResponse* response) {
  return desk_.AnswerAdmin({context, "ListVersions"}, AdminRole::kViewer, FromProto(*request),
                           [response](Fleet& fleet, const std::string&, const NamedThing& task) -> absl::Status {
                             ASSIGN_OR_RETURN(const std::vector<VersionView> versions, fleet.Versions(task.name));
                             for (const VersionView& view : versions) *response->add_versions() = ToProto(view);
                             return absl::OkStatus();
                           });
}

Reactor* AdminServiceImpl::DiffVersions(Context* context, const v1::DiffVersionsRequest* request,
                                        v1::DiffVersionsResponse* response) {
  return desk_.AnswerAdmin({context, "DiffVersions"}, AdminRole::kViewer, FromProto(*request),
                           [response](Fleet& fleet, const std::string&, const VersionPair& pair) {
                             return Put(fleet.DiffVersions(pair.task, pair.from, pair.to), response);
                           });
}

Reactor* AdminServiceImpl::ExportVersion(Context* context, const v1::ExportVersionRequest* request,
                                         v1::ExportVersionResponse* response) {
  return desk_.AnswerAdminFromDisk(
      {context, "ExportVersion"}, AdminRole::kOperator, FromProto(*request),
      [this, response](Fleet& fleet, const std::string&, const ExportOrder& order) -> absl::StatusOr<Desk::DiskWork> {
        ASSIGN_OR_RETURN(Adapter adapter, fleet.VersionAdapter(order.task, order.version));
        ASSIGN_OR_RETURN(BaseModel base, BaseOfTask(fleet, order.task));
        AdapterExportRequest wanted{.format = order.format,
                                    .file_stem = order.task + "-v" + std::to_string(order.version),
                                    .base = std::move(base)};
        return [exporter = desk_.ports().exporter, adapter = std::move(adapter), wanted = std::move(wanted),
                response]() -> absl::Status {
          ASSIGN_OR_RETURN(const std::vector<AdapterFileContent> files, exporter->Export(adapter, wanted));
          uint64_t size = 0;
          for (const AdapterFileContent& file : files) size += file.content.size();
          if (size > kMaxExportBytes) return absl::ResourceExhaustedError("the adapter has more than 1 GiB");
          for (const AdapterFileContent& file : files) {
            v1::ExportedFile* exported = response->add_files();
            exported->set_name(file.name);
            exported->set_content(file.content.data(), file.content.size());
          }
          return absl::OkStatus();
        };
      });
}

Reactor* AdminServiceImpl::ReleaseVersion(Context* context, const v1::ReleaseVersionRequest* request,
                                          v1::TaskSummary* response) {
  return desk_.AnswerAdmin({context, "ReleaseVersion"}, AdminRole::kAdmin, FromProto(*request),
                           [response](Fleet& fleet, const std::string& admin, const VersionChoice& choice) {
                             return Put(fleet.Release(admin, choice.task, choice.version), response);
                           });
}

Reactor* AdminServiceImpl::RollbackRelease(Context* context, const v1::RollbackReleaseRequest* request,
                                           v1::TaskSummary* response) {
  return desk_.AnswerAdmin({context, "RollbackRelease"}, AdminRole::kAdmin, FromProto(*request),
                           [response](Fleet& fleet, const std::string& admin, const VersionChoice& choice) {
                             return Put(fleet.Rollback(admin, choice.task, choice.version), response);
                           });
}

Reactor* AdminServiceImpl::ReadAudit(Context* context, const v1::ReadAuditRequest* request,
                                     v1::ReadAuditResponse* response) {
  return desk_.AnswerAdmin({context, "ReadAudit"}, AdminRole::kViewer, FromProto(*request),
                           [response](Fleet& fleet, const std::string&, const AuditQuery& query) {
                             return Put(fleet.Audit(query.after_sequence, query.limit), response);
                           });
}

Reactor* AdminServiceImpl::GetStatus(Context* context, const v1::GetStatusRequest* request,
                                     v1::GetStatusResponse* response) {
  return desk_.AnswerAdmin({context, "GetStatus"}, AdminRole::kViewer, FromProto(*request),
                           [this, response](Fleet& fleet, const std::string&, const Nothing&) {
                             const FleetStatus status = fleet.Status();
                             response->set_software_version(desk_.ports().software_version);
                             response->set_started_unix_ms(ToMillis(desk_.ports().started));
                             response->set_devices(status.devices);
                             response->set_devices_seen_last_hour(status.devices_seen_last_hour);
                             response->set_tasks(status.tasks);
                             response->set_open_rounds(status.open_rounds);
                             response->set_database_bytes(status.database_bytes);
                             return absl::OkStatus();
                           });
}

Reactor* AdminServiceImpl::Backup(Context* context, const v1::BackupRequest* request, v1::BackupResponse* response) {
  return desk_.AnswerAdmin({context, "Backup"}, AdminRole::kAdmin, FromProto(*request),
                           [this, response](Fleet&, const std::string&, const Nothing&) -> absl::Status {
                             ASSIGN_OR_RETURN(const MadeBackup made, desk_.ports().backups->Make());
                             response->set_path(made.path);
                             response->set_size(made.size_bytes);
                             return absl::OkStatus();
                           });
}

}  // namespace fleetune
