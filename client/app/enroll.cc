#include "client/app/enroll.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <utility>

#include "base/crypto/certificate.h"
#include "base/crypto/pinned_peer.h"
#include "base/status_macros.h"
#include "client/core/profile.h"
#include "client/transport/enrollment.h"

namespace fleetune {
namespace {

constexpr std::chrono::milliseconds kEnrollTimeout = std::chrono::seconds(20);

std::string HostName() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0) return "device";
  return std::string(name.data()).substr(0, kMaxDeviceNameBytes);
}

}  // namespace

absl::StatusOr<DeviceIdentity> Enroll(const DeviceFolder& folder, const EnrollOptions& options, const Clock& clock) {
  std::error_code error;
  if (std::filesystem::exists(folder.enrolled(), error)) {
    return absl::AlreadyExistsError(fmt::format("{} is enrolled already", folder.root));
  }
  if (!options.profile.empty()) RETURN_IF_ERROR(FindDeviceProfile(options.profile).status());
  if (options.name.size() > kMaxDeviceNameBytes) {
    return absl::InvalidArgumentError(
        fmt::format("--name: expected at most {} bytes, got {}", kMaxDeviceNameBytes, options.name.size()));
  }
  ASSIGN_OR_RETURN(JoinToken token, ReadJoinToken(options.token));
  ASSIGN_OR_RETURN(
      std::string ca_pem,
      FetchPinnedCa({.host = token.host, .port = token.port, .ca_fingerprint = token.ca_fingerprint}, clock.Now()));
  SigningKey identity_key = SigningKey::Generate();
  ASSIGN_OR_RETURN(KeyAndRequest key, MakeCertificateRequest(identity_key.verify_key()));
  const std::string name = options.name.empty() ? HostName() : options.name;
  ASSIGN_OR_RETURN(
      JoinAnswer answer,
      JoinFleet(token, ca_pem, {.certificate_request = key.request_pem, .device_name = name}, kEnrollTimeout));
  RETURN_IF_ERROR(CheckOwnCertificate(answer.certificate_pem, ca_pem,
                                      {.device_id = answer.device_id, .identity_key = identity_key.verify_key()},
                                      clock.Now()));
  DeviceIdentity identity{.device_id = answer.device_id,
                          .name = name,
                          .profile = options.profile,
                          .host = token.host,
                          .port = token.port,
                          .certificate_since = clock.Now(),
                          .release_key = answer.release_key,
                          .ca_pem = ca_pem,
                          .key_pem = key.key_pem,
                          .certificate_pem = answer.certificate_pem,
                          .identity_key = std::move(identity_key)};
  RETURN_IF_ERROR(SaveIdentity(folder, identity));
  return identity;
}

}  // namespace fleetune
