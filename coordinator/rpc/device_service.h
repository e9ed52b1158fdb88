#pragma once

#include "coordinator/rpc/desk.h"
#include "fleetune/v1/device.grpc.pb.h"

namespace fleetune {

// What devices ask. Each call: a device certificate that is not revoked. Thread-safe.
class DeviceServiceImpl final : public v1::DeviceService::CallbackService {
 public:
  explicit DeviceServiceImpl(const ServicePorts& ports) : desk_(ports) {}

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  Reactor* RenewCertificate(Context* context, const v1::RenewCertificateRequest* request,
                            v1::RenewCertificateResponse* response) override;
  Reactor* CheckIn(Context* context, const v1::CheckInRequest* request, v1::CheckInResponse* response) override;
  Reactor* FetchModel(Context* context, const v1::FetchModelRequest* request,
                      v1::FetchModelResponse* response) override;
  Reactor* PlanUpdate(Context* context, const v1::PlanUpdateRequest* request,
                      v1::PlanUpdateResponse* response) override;
  Reactor* FetchUpdate(Context* context, const v1::FetchUpdateRequest* request,
                       v1::FetchUpdateResponse* response) override;
  Reactor* FetchControl(Context* context, const v1::FetchControlRequest* request,
                        v1::FetchControlResponse* response) override;
  Reactor* TakeSeat(Context* context, const v1::TakeSeatRequest* request, v1::TakeSeatResponse* response) override;
  Reactor* ExchangeCell(Context* context, const v1::ExchangeCellRequest* request,
                        v1::ExchangeCellResponse* response) override;
  Reactor* OpenUpload(Context* context, const v1::OpenUploadRequest* request,
                      v1::OpenUploadResponse* response) override;
  Reactor* PutUploadChunk(Context* context, const v1::PutUploadChunkRequest* request,
                          v1::PutUploadChunkResponse* response) override;
  Reactor* CommitUpload(Context* context, const v1::CommitUploadRequest* request,
                        v1::CommitUploadResponse* response) override;
  Reactor* DeclineRound(Context* context, const v1::DeclineRoundRequest* request,
                        v1::DeclineRoundResponse* response) override;

 private:
  Desk desk_;
};

}  // namespace fleetune
