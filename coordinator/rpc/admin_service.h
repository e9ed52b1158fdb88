#pragma once

#include "coordinator/rpc/desk.h"
#include "fleetune/v1/admin.grpc.pb.h"

namespace fleetune {

// What the admin CLI asks. Each call: an admin's certificate with at least the role that admin.proto names.
// Thread-safe.
class AdminServiceImpl final : public v1::AdminService::CallbackService {
 public:
  explicit AdminServiceImpl(const ServicePorts& ports) : desk_(ports) {}

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  Reactor* CreateToken(Context* context, const v1::CreateTokenRequest* request,
                       v1::CreateTokenResponse* response) override;
  Reactor* ListDevices(Context* context, const v1::ListDevicesRequest* request,
                       v1::ListDevicesResponse* response) override;
  Reactor* TagDevice(Context* context, const v1::TagDeviceRequest* request, v1::DeviceSummary* response) override;
  Reactor* RevokeDevice(Context* context, const v1::RevokeDeviceRequest* request, v1::DeviceSummary* response) override;
  grpc::ServerReadReactor<v1::AddModelRequest>* AddModel(Context* context, v1::ModelSummary* response) override;
  Reactor* ListModels(Context* context, const v1::ListModelsRequest* request,
                      v1::ListModelsResponse* response) override;
  Reactor* CreateTask(Context* context, const v1::CreateTaskRequest* request,
                      v1::CreateTaskResponse* response) override;
  Reactor* ListTasks(Context* context, const v1::ListTasksRequest* request, v1::ListTasksResponse* response) override;
  Reactor* PauseTask(Context* context, const v1::PauseTaskRequest* request, v1::TaskSummary* response) override;
  Reactor* StartRound(Context* context, const v1::StartRoundRequest* request, v1::RoundSummary* response) override;
  Reactor* GetRound(Context* context, const v1::GetRoundRequest* request, v1::RoundSummary* response) override;
  Reactor* ListRounds(Context* context, const v1::ListRoundsRequest* request,
                      v1::ListRoundsResponse* response) override;
  Reactor* AbortRound(Context* context, const v1::AbortRoundRequest* request, v1::RoundSummary* response) override;
  Reactor* ListVersions(Context* context, const v1::ListVersionsRequest* request,
                        v1::ListVersionsResponse* response) override;
  Reactor* DiffVersions(Context* context, const v1::DiffVersionsRequest* request,
                        v1::DiffVersionsResponse* response) override;
  Reactor* ExportVersion(Context* context, const v1::ExportVersionRequest* request,
                         v1::ExportVersionResponse* response) override;
  Reactor* ReleaseVersion(Context* context, const v1::ReleaseVersionRequest* request,
                          v1::TaskSummary* response) override;
  Reactor* RollbackRelease(Context* context, const v1::RollbackReleaseRequest* request,
                           v1::TaskSummary* response) override;
  Reactor* ReadAudit(Context* context, const v1::ReadAuditRequest* request, v1::ReadAuditResponse* response) override;
  Reactor* GetStatus(Context* context, const v1::GetStatusRequest* request, v1::GetStatusResponse* response) override;
  Reactor* Backup(Context* context, const v1::BackupRequest* request, v1::BackupResponse* response) override;

 private:
  Desk desk_;
};

}  // namespace fleetune
