#include "coordinator/rpc/device_service.h"

#include "base/status_macros.h"
#include "coordinator/rpc/device_convert.h"

namespace fleetune {

using Context = DeviceServiceImpl::Context;
using Reactor = DeviceServiceImpl::Reactor;

Reactor* DeviceServiceImpl::RenewCertificate(Context* context, const v1::RenewCertificateRequest* request,
                                             v1::RenewCertificateResponse* response) {
  return desk_.AnswerDevice(
      {context, "RenewCertificate"}, FromProto(*request),
      [response](Fleet& fleet, const DevicePeer& device, const CertificateRenewal& renewal) -> absl::Status {
        ASSIGN_OR_RETURN(std::string certificate,
                         fleet.RenewCertificate(device.id, device.identity, renewal.certificate_request));
        response->set_certificate(std::move(certificate));
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::CheckIn(Context* context, const v1::CheckInRequest* request,
                                    v1::CheckInResponse* response) {
  return desk_.AnswerDevice(
      {context, "CheckIn"}, FromProto(*request),
      [response](Fleet& fleet, const DevicePeer& device, const DeviceReport& report) -> absl::Status {
        ASSIGN_OR_RETURN(const CheckInAnswer answer, fleet.CheckIn(device.id, report));
        *response = ToProto(answer);
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::FetchModel(Context* context, const v1::FetchModelRequest* request,
                                       v1::FetchModelResponse* response) {
  return desk_.AnswerDeviceFromDisk(
      {context, "FetchModel"}, FromProto(*request),
      [this, response](Fleet&, const DevicePeer&, const ModelPartQuery& query) -> absl::StatusOr<Desk::DiskWork> {
        return [models = desk_.ports().models, query, response]() -> absl::Status {
          ASSIGN_OR_RETURN(const ModelFilePart part, models->ReadPart(query.sha256, query.offset));
          response->set_part(part.bytes.data(), part.bytes.size());
          response->set_size(part.size_bytes);
          return absl::OkStatus();
        };
      });
}

Reactor* DeviceServiceImpl::PlanUpdate(Context* context, const v1::PlanUpdateRequest* request,
                                       v1::PlanUpdateResponse* response) {
  return desk_.AnswerDevice(
      {context, "PlanUpdate"}, FromProto(*request),
      [response](Fleet& fleet, const DevicePeer&, const UpdatePlanQuery& query) -> absl::Status {
        ASSIGN_OR_RETURN(const std::vector<UpdatePieceRef> pieces,
                         fleet.PlanUpdate(query.have.task, query.have, query.holds_nothing, query.want_version));
        *response = ToProto(pieces);
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::FetchUpdate(Context* context, const v1::FetchUpdateRequest* request,
                                        v1::FetchUpdateResponse* response) {
  return desk_.AnswerDevice(
      {context, "FetchUpdate"}, FromProto(*request),
      [response](Fleet& fleet, const DevicePeer& device, const UpdatePartQuery& query) -> absl::Status {
        ASSIGN_OR_RETURN(const Bytes part, fleet.FetchUpdate(device.id, query.task, query.sha256, query.offset));
        response->set_part(part.data(), part.size());
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::FetchControl(Context* context, const v1::FetchControlRequest* request,
                                         v1::FetchControlResponse* response) {
  return desk_.AnswerDevice(
      {context, "FetchControl"}, FromProto(*request),
      [response](Fleet& fleet, const DevicePeer& device, const ControlPartQuery& query) -> absl::Status {
        ASSIGN_OR_RETURN(const ServerControlPart part, fleet.FetchControl(device.id, query.round, query.offset));
        *response = ToProto(part);
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::TakeSeat(Context* context, const v1::TakeSeatRequest* request,
                                      v1::TakeSeatResponse* response) {
  return desk_.AnswerDevice({context, "TakeSeat"}, FromProto(*request),
                            [response](Fleet& fleet, const DevicePeer& device, const SeatWish& wish) -> absl::Status {
                              ASSIGN_OR_RETURN(const SeatOffer offer, fleet.TakeSeat(device.id, wish.round));
                              *response = ToProto(offer);
                              return absl::OkStatus();
                            });
}

Reactor* DeviceServiceImpl::ExchangeCell(Context* context, const v1::ExchangeCellRequest* request,
                                          v1::ExchangeCellResponse* response) {
  return desk_.AnswerDevice(
      {context, "ExchangeCell"}, FromProto(*request),
      [request, response](Fleet& fleet, const DevicePeer& device, const CellMessage& sent) -> absl::Status {
        // Before the message: that may end the round, and its books with it.
        fleet.CountBytesUp(sent.cell, request->ByteSizeLong());
        const secagg::VerifiedPeer peer{.device = device.id, .identity = device.identity};
        ASSIGN_OR_RETURN(CellAnswer answer, fleet.ExchangeCell(peer, sent.cell, sent.message));
        *response = ToProto(std::move(answer));
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::OpenUpload(Context* context, const v1::OpenUploadRequest* request,
                                       v1::OpenUploadResponse* response) {
  return desk_.AnswerDevice(
      {context, "OpenUpload"}, FromProto(*request),
      [request, response](Fleet& fleet, const DevicePeer& device, const UploadAnnouncement& upload) -> absl::Status {
        ASSIGN_OR_RETURN(const UploadState state,
                         fleet.OpenUpload(device.id, upload.round, upload.size, upload.sha256));
        fleet.CountBytesUp(upload.round, request->ByteSizeLong());
        *response = ToProto(state);
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::PutUploadChunk(Context* context, const v1::PutUploadChunkRequest* request,
                                           v1::PutUploadChunkResponse*) {
  return desk_.AnswerDevice(
      {context, "PutUploadChunk"}, FromProto(*request),
      [request](Fleet& fleet, const DevicePeer& device, const UploadChunk& chunk) -> absl::Status {
        RETURN_IF_ERROR(fleet.PutUploadChunk(device.id, chunk.round, chunk.index, chunk.bytes));
        fleet.CountBytesUp(chunk.round, request->ByteSizeLong());
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::CommitUpload(Context* context, const v1::CommitUploadRequest* request,
                                         v1::CommitUploadResponse* response) {
  return desk_.AnswerDevice(
      {context, "CommitUpload"}, FromProto(*request),
      [request, response](Fleet& fleet, const DevicePeer& device, const UploadCommit& commit) -> absl::Status {
        // Before the commit: that may end the round, and its books with it.
        fleet.CountBytesUp(commit.round, request->ByteSizeLong());
        RETURN_IF_ERROR(fleet.CommitUpload(device.id, commit.round, commit.sha256));
        response->set_counted(true);
        return absl::OkStatus();
      });
}

Reactor* DeviceServiceImpl::DeclineRound(Context* context, const v1::DeclineRoundRequest* request,
                                         v1::DeclineRoundResponse*) {
  return desk_.AnswerDevice({context, "DeclineRound"}, FromProto(*request),
                            [](Fleet& fleet, const DevicePeer& device, const RoundRefusal& refusal) {
                              return fleet.DeclineRound(device.id, refusal.round, refusal.reason);
                            });
}

}  // namespace fleetune
