#include "client/transport/device_channel.h"

#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include "base/status_macros.h"
#include "client/transport/convert.h"
#include "client/transport/grpc_channel.h"
#include "client/transport/grpc_status.h"
#include "fleetune/v1/device.grpc.pb.h"

namespace fleetune {
namespace {

using v1::DeviceService;

std::string ToText(const Digest& digest) { return std::string(AsText(digest.bytes)); }

// The peer is authenticated, so nonsense from it is a bug there and may be gone later.
template <typename T>
absl::StatusOr<T> Sensible(absl::StatusOr<T> result, std::string_view call) {
  if (result.ok()) return result;
  return absl::InternalError(fmt::format("{}: the coordinator's answer makes no sense: {}", call,
                                         std::string(result.status().message())));
}

class DeviceChannel final : public CoordinatorLink {
 public:
  DeviceChannel(std::string host, uint16_t port, grpc::SslCredentialsOptions tls, const CallDeadlines& deadlines)
      : host_(std::move(host)), port_(port), tls_(std::move(tls)), deadlines_(deadlines) {}

  absl::StatusOr<CheckInReply> CheckIn(const CheckInReport& report) override {
    ASSIGN_OR_RETURN(v1::CheckInResponse response,
                     Call("check in", &DeviceService::Stub::CheckIn, ToProto(report), deadlines_.small));
    return Sensible(FromProto(response), "check in");
  }

  absl::StatusOr<ModelPart> FetchModel(const Digest& sha256, uint64_t offset) override {
    v1::FetchModelRequest request;
    request.set_sha256(ToText(sha256));
    request.set_offset(offset);
    ASSIGN_OR_RETURN(v1::FetchModelResponse response,
                     Call("fetch model", &DeviceService::Stub::FetchModel, request, deadlines_.transfer));
    return Sensible(FromProto(response, offset), "fetch model");
  }

  absl::StatusOr<std::vector<OfferedPiece>> PlanUpdate(const UpdateWish& wish) override {
    ASSIGN_OR_RETURN(v1::PlanUpdateResponse response,
                     Call("plan update", &DeviceService::Stub::PlanUpdate, ToProto(wish), deadlines_.small));
    return Sensible(FromProto(response), "plan update");
  }

  absl::StatusOr<Bytes> FetchUpdate(const std::string& task, const Digest& sha256, uint64_t offset) override {
    v1::FetchUpdateRequest request;
    request.set_task(task);
    request.set_sha256(ToText(sha256));
    request.set_offset(offset);
    ASSIGN_OR_RETURN(v1::FetchUpdateResponse response,
                     Call("fetch update", &DeviceService::Stub::FetchUpdate, request, deadlines_.transfer));
    return Sensible(FromProto(response), "fetch update");
  }

  absl::StatusOr<ControlPart> FetchControl(const std::string& round, uint64_t offset) override {
    v1::FetchControlRequest request;
    request.set_round(round);
    request.set_offset(offset);
    ASSIGN_OR_RETURN(v1::FetchControlResponse response,
                     Call("fetch control", &DeviceService::Stub::FetchControl, request, deadlines_.transfer));
    return Sensible(FromProto(response, offset), "fetch control");
  }

  absl::StatusOr<OfferedSeat> TakeSeat(const std::string& round) override {
    v1::TakeSeatRequest request;
    request.set_round(round);
    ASSIGN_OR_RETURN(v1::TakeSeatResponse response,
                     Call("take seat", &DeviceService::Stub::TakeSeat, request, deadlines_.small));
    return Sensible(FromProto(response), "take seat");
  }

  absl::StatusOr<CellNews> ExchangeCell(const std::string& cell, std::span<const uint8_t> message) override {
    v1::ExchangeCellRequest request;
    request.set_cell(cell);
    request.set_message(message.data(), message.size());
    ASSIGN_OR_RETURN(v1::ExchangeCellResponse response,
                     Call("exchange cell", &DeviceService::Stub::ExchangeCell, request, deadlines_.transfer));
    return Sensible(FromProto(response), "exchange cell");
  }

  absl::StatusOr<OpenedUpload> OpenUpload(const std::string& round, uint64_t size, const Digest& sha256) override {
    v1::OpenUploadRequest request;
    request.set_round(round);
    request.set_size(size);
    request.set_sha256(ToText(sha256));
    ASSIGN_OR_RETURN(v1::OpenUploadResponse response,
                     Call("open upload", &DeviceService::Stub::OpenUpload, request, deadlines_.small));
    return Sensible(FromProto(response, size), "open upload");
  }

  absl::Status PutUploadChunk(const std::string& round, uint32_t index, std::span<const uint8_t> chunk) override {
    v1::PutUploadChunkRequest request;
    request.set_round(round);
    request.set_index(index);
    request.set_data(chunk.data(), chunk.size());
    return Call("put upload chunk", &DeviceService::Stub::PutUploadChunk, request, deadlines_.transfer).status();
  }

  absl::Status CommitUpload(const std::string& round, const Digest& sha256) override {
    v1::CommitUploadRequest request;
    request.set_round(round);
    request.set_sha256(ToText(sha256));
    ASSIGN_OR_RETURN(v1::CommitUploadResponse response,
                     Call("commit upload", &DeviceService::Stub::CommitUpload, request, deadlines_.transfer));
    if (!response.counted()) return absl::InternalError("commit upload: the coordinator did not say that it counted");
    return absl::OkStatus();
  }

  absl::Status DeclineRound(const std::string& round, const std::string& reason) override {
    v1::DeclineRoundRequest request;
    request.set_round(round);
    request.set_reason(reason);
    return Call("decline round", &DeviceService::Stub::DeclineRound, request, deadlines_.small).status();
  }

  absl::StatusOr<std::string> RenewCertificate(const std::string& certificate_request) override {
    v1::RenewCertificateRequest request;
    request.set_certificate_request(certificate_request);
    ASSIGN_OR_RETURN(v1::RenewCertificateResponse response,
                     Call("renew certificate", &DeviceService::Stub::RenewCertificate, request, deadlines_.small));
    return response.certificate();
  }

 private:
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(std::string_view name,
                                grpc::Status (DeviceService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                            Response*),
                                const Request& request, std::chrono::milliseconds deadline) {
    if (stub_ == nullptr) stub_ = DeviceService::NewStub(MakeChannel(host_, port_, tls_));
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + deadline);
    Response response;
    const absl::Status status = FromGrpc((stub_.get()->*method)(&context, request, &response), name);
    // A channel that failed once refuses calls while it connects again, and without a call nobody drives its
    // handshake; one that hangs may never notice. The next call makes a new one and waits for it.
    if (absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status)) stub_ = nullptr;
    RETURN_IF_ERROR(status);
    return response;
  }

  const std::string host_;
  const uint16_t port_;
  const grpc::SslCredentialsOptions tls_;
  std::unique_ptr<DeviceService::Stub> stub_;  // null: not connected
  const CallDeadlines deadlines_;
};

}  // namespace

std::unique_ptr<CoordinatorLink> ConnectDevice(const ChannelCredentials& credentials, const CallDeadlines& deadlines) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = credentials.ca_pem;
  tls.pem_private_key = credentials.key_pem;
  tls.pem_cert_chain = credentials.certificate_pem;
  return std::make_unique<DeviceChannel>(credentials.host, credentials.port, std::move(tls), deadlines);
}

}  // namespace fleetune
