#include "client/transport/enrollment.h"

#include <algorithm>

#include <fmt/format.h>
#include <grpcpp/client_context.h>

#include "base/status_macros.h"
#include "client/transport/grpc_channel.h"
#include "client/transport/grpc_status.h"
#include "fleetune/v1/device.grpc.pb.h"
#include "proto/enrollment_token.h"

namespace fleetune {
namespace {

absl::StatusOr<JoinAnswer> ReadAnswer(const v1::EnrollResponse& response, const std::string& ca_pem) {
  JoinAnswer answer;
  auto nonsense = [](std::string_view what) {
    return absl::InternalError(fmt::format("enroll: the coordinator's answer makes no sense: {}", what));
  };
  if (response.device_id().empty() || response.device_id().size() > 64) return nonsense("device id");
  if (response.certificate().empty() || response.certificate().size() > kMaxPemBytes) return nonsense("certificate");
  if (response.release_key().size() != answer.release_key.size()) return nonsense("release key");
  answer.device_id = response.device_id();
  answer.certificate_pem = response.certificate();
  // The CA that the token names is the one that counts, whatever comes back.
  answer.ca_pem = ca_pem;
  std::copy(response.release_key().begin(), response.release_key().end(), answer.release_key.begin());
  return answer;
}

}  // namespace

absl::StatusOr<JoinToken> ReadJoinToken(std::string_view text) {
  ASSIGN_OR_RETURN(EnrollmentToken token, ParseEnrollmentToken(text));
  return JoinToken{.host = token.host, .port = token.port, .ca_fingerprint = token.ca_fingerprint, .secret = token.secret};
}

absl::StatusOr<JoinAnswer> JoinFleet(const JoinToken& token, const std::string& ca_pem, const JoinRequest& request,
                                     std::chrono::milliseconds deadline) {
  if (request.device_name.size() > kMaxDeviceNameBytes) {
    return absl::InvalidArgumentError(fmt::format("device name: expected at most {} bytes, got {}",
                                                  kMaxDeviceNameBytes, request.device_name.size()));
  }
  grpc::SslCredentialsOptions tls;
  tls.pem_root_certs = ca_pem;
  const auto stub = v1::EnrollmentService::NewStub(MakeChannel(token.host, token.port, tls));
  v1::EnrollRequest message;
  message.set_token_secret(token.secret.data(), token.secret.size());
  message.set_certificate_request(request.certificate_request);
  message.set_device_name(request.device_name);
  grpc::ClientContext context;
  context.set_deadline(std::chrono::system_clock::now() + deadline);
  v1::EnrollResponse response;
  RETURN_IF_ERROR(FromGrpc(stub->Enroll(&context, message, &response), "enroll"));
  return ReadAnswer(response, ca_pem);
}

}  // namespace fleetune
