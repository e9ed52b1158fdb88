#include "coordinator/admin/connection.h"

#include <fmt/format.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

namespace fleetune {
namespace {

std::shared_ptr<grpc::Channel> MakeChannel(const AdminCredentials& credentials) {
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = credentials.ca_pem;
  tls.pem_private_key = credentials.key_pem;
  tls.pem_cert_chain = credentials.certificate_pem;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);  // an exported adapter comes as one message
  // A coordinator that starts again is found again soon.
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
  return grpc::CreateCustomChannel(credentials.address, grpc::SslCredentials(tls), arguments);
}

}  // namespace

AdminConnection::AdminConnection(const AdminCredentials& credentials)
    : address_(credentials.address), stub_(v1::AdminService::NewStub(MakeChannel(credentials))) {}

absl::Status AdminConnection::FromGrpc(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  const std::string& message = status.error_message();
  const auto code = static_cast<absl::StatusCode>(status.error_code());
  if (code == absl::StatusCode::kUnavailable && message.find("certificate verify failed") != std::string::npos) {
    return absl::UnauthenticatedError(
        fmt::format("{}: its certificate is not of the fleet of these credentials (ca.crt)", address_));
  }
  if (code == absl::StatusCode::kUnavailable) {
    return absl::UnavailableError(fmt::format("cannot reach the coordinator at {}: {}", address_, message));
  }
  if (code == absl::StatusCode::kDeadlineExceeded) {
    return absl::UnavailableError(fmt::format("the coordinator at {} did not answer in time", address_));
  }
  return absl::Status(code, message);
}

}  // namespace fleetune
