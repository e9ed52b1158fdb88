#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/digest.h"

namespace fleetune {

// What an operator's token says (proto/enrollment_token.h). Holds a secret: never log it.
struct JoinToken {
  std::string host;
  uint16_t port = 0;
  Digest ca_fingerprint;
  std::array<uint8_t, 32> secret{};
};

// InvalidArgument says what is wrong with the text and never quotes it.
absl::StatusOr<JoinToken> ReadJoinToken(std::string_view text);

inline constexpr size_t kMaxDeviceNameBytes = 64;
inline constexpr size_t kMaxPemBytes = 64 * 1024;

struct JoinRequest {
  std::string certificate_request;  // PKCS #10, PEM
  std::string device_name;          // at most kMaxDeviceNameBytes
};

// A device that has joined.
struct JoinAnswer {
  std::string device_id;
  std::string certificate_pem;
  std::string ca_pem;
  std::array<uint8_t, 32> release_key{};  // Ed25519: signs plans and adapter updates
};

// Asks the coordinator of `token`, which must show a certificate of `ca_pem` (the CA with the token's fingerprint,
// from FetchPinnedCa) for the token's host. Unavailable (cannot be reached); Unauthenticated (unknown, expired or
// used-up token); InvalidArgument; Internal for an answer that makes no sense.
absl::StatusOr<JoinAnswer> JoinFleet(const JoinToken& token, const std::string& ca_pem, const JoinRequest& request,
                                     std::chrono::milliseconds deadline);

}  // namespace fleetune
