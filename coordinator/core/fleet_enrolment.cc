#include <algorithm>
#include <array>
#include <utility>

#include "base/crypto/sha256.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/core/fleet_limits.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {
namespace {

absl::Status CheckTokenRequest(const TokenRequest& request) {
  if (request.uses < 1 || request.uses > kMaxTokenUses) {
    return absl::InvalidArgumentError("uses: expected 1 to " + std::to_string(kMaxTokenUses) + ", got " +
                                      std::to_string(request.uses));
  }
  if (request.lifetime < std::chrono::seconds(1) || request.lifetime > kMaxTokenLifetime) {
    return absl::InvalidArgumentError("lifetime: expected 1 to " + std::to_string(kMaxTokenLifetime.count()) +
                                      " seconds, got " + std::to_string(request.lifetime.count()));
  }
  return CheckDeviceTags(request.tags);
}

absl::Status CheckEnrollmentRequest(const EnrollmentRequest& request) {
  if (request.certificate_request.empty() || request.certificate_request.size() > kMaxCertificateRequestBytes) {
    return absl::InvalidArgumentError("certificate request: expected 1 to " +
                                      std::to_string(kMaxCertificateRequestBytes) + " bytes, got " +
                                      std::to_string(request.certificate_request.size()));
  }
  if (!IsPlainText(request.device_name, kMaxDeviceNameBytes)) {
    return absl::InvalidArgumentError("device name: expected at most " + std::to_string(kMaxDeviceNameBytes) +
                                      " bytes of UTF-8 without control characters");
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckDeviceTags(const std::vector<std::string>& tags) {
  if (tags.size() > kMaxDeviceTags) {
    return absl::InvalidArgumentError("tags: expected at most " + std::to_string(kMaxDeviceTags) + ", got " +
                                      std::to_string(tags.size()));
  }
  for (const std::string& tag : tags) {
    if (!IsDeviceTag(tag)) {
      return absl::InvalidArgumentError("tag: expected 1 to 64 lower-case letters, digits and hyphens, got \"" + tag +
                                        "\"");
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<NewToken> Fleet::CreateToken(const std::string& admin, const TokenRequest& request) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(CheckTokenRequest(request));
  NewToken token{.secret = Bytes(kTokenSecretBytes), .expires = state_->Now() + request.lifetime};
  state_->ports.random->Fill(token.secret);
  const TokenRecord record{.secret_sha256 = Sha256(token.secret),
                           .made_by = admin,
                           .expires = token.expires,
                           .uses_left = request.uses,
                           .tags = request.tags};
  const std::string detail = "for " + std::to_string(request.uses) + " devices";
  RETURN_IF_ERROR(state_->Write({{AdminActor(admin), "token.create", detail}},
                                [&](FleetTransaction& transaction) { return transaction.PutToken(record); }));
  state_->memory.tokens.emplace(record.secret_sha256, record);
  return token;
}

absl::StatusOr<Enrollment> Fleet::Enroll(const EnrollmentRequest& request) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(CheckEnrollmentRequest(request));
  FleetMemory& memory = state_->memory;
  const auto token = memory.tokens.find(Sha256(request.token_secret));
  if (token == memory.tokens.end()) return absl::UnauthenticatedError("this enrolment token is not known here");
  const TimePoint now = state_->Now();
  if (now >= token->second.expires) return absl::UnauthenticatedError("this enrolment token has expired");

  const Digest csr = Sha256(AsBytes(request.certificate_request));
  const auto again = std::ranges::find_if(memory.devices, [&](const auto& entry) {
    return entry.second.token == token->second.secret_sha256 && entry.second.certificate_request == csr;
  });
  const CertificateAuthority& authority = *state_->ports.authority;
  if (again != memory.devices.end()) {  // the first answer got lost
    const DeviceRecord& known = again->second;
    RETURN_IF_ERROR(state_->FindDevice(known.id).status());
    ASSIGN_OR_RETURN(std::string certificate,
                     authority.IssueDevice(request.certificate_request, known.id, now, kDeviceCertificateLifetime));
    return Enrollment{.device_id = known.id, .certificate = std::move(certificate)};
  }
  if (token->second.uses_left == 0) return absl::UnauthenticatedError("this enrolment token is used up");

  std::array<uint8_t, 16> raw_id;
  state_->ports.random->Fill(raw_id);
  DeviceRecord device;
  device.id = ToHex(raw_id);
  device.name = request.device_name.empty() ? device.id.substr(0, 8) : request.device_name;
  device.tags = token->second.tags;
  device.enrolled = now;
  device.token = token->second.secret_sha256;
  device.certificate_request = csr;
  ASSIGN_OR_RETURN(std::string certificate,
                   authority.IssueDevice(request.certificate_request, device.id, now, kDeviceCertificateLifetime));
  TokenRecord used = token->second;
  --used.uses_left;
  RETURN_IF_ERROR(state_->Write({{"device:" + device.id, "device.enroll", device.name}},
                                [&](FleetTransaction& transaction) -> absl::Status {
                                  RETURN_IF_ERROR(transaction.PutToken(used));
                                  return transaction.PutDevice(device);
                                }));
  token->second = used;
  memory.devices.emplace(device.id, device);
  return Enrollment{.device_id = device.id, .certificate = std::move(certificate)};
}

absl::Status Fleet::CheckDevice(const std::string& device) const {
  RETURN_IF_ERROR(state_->Refresh());
  return state_->FindDevice(device).status();
}

absl::StatusOr<std::string> Fleet::RenewCertificate(const std::string& device, const VerifyKey& identity,
                                                    const std::string& certificate_request) {
  RETURN_IF_ERROR(state_->Refresh());
  RETURN_IF_ERROR(state_->FindDevice(device).status());
  RETURN_IF_ERROR(
      CheckEnrollmentRequest({.token_secret = {}, .certificate_request = certificate_request, .device_name = {}}));
  ASSIGN_OR_RETURN(const VerifyKey requested, RequestedIdentityKey(certificate_request));
  if (requested.raw() != identity.raw()) {
    return absl::InvalidArgumentError("a renewal keeps the identity key, and this certificate request names another");
  }
  ASSIGN_OR_RETURN(
      std::string certificate,
      state_->ports.authority->IssueDevice(certificate_request, device, state_->Now(), kDeviceCertificateLifetime));
  RETURN_IF_ERROR(state_->Write({{"device:" + device, "certificate.renew", ""}},
                                [](FleetTransaction&) { return absl::OkStatus(); }));
  return certificate;
}

}  // namespace fleetune
