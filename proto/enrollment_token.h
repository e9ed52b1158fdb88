#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/digest.h"

namespace fleetune {

// What an operator hands to a device so that it can join the fleet: where the coordinator is, which CA it must
// show, and the secret that lets one in.
//
// As text: "ft1." and base64url (RFC 4648, section 5, no padding) of
//   u8 length of host, host, u16 port (little-endian), 32 bytes CA fingerprint, 32 bytes secret,
//   u32 CRC-32 (IEEE 802.3) of all before it, which only catches a slip in copying.
// Holds a secret: never log it.
struct EnrollmentToken {
  std::string host;  // DNS name or IP address, [A-Za-z0-9.:-]{1,253}
  uint16_t port = 0;  // not 0
  Digest ca_fingerprint;  // CertificateFingerprint of the fleet's CA
  std::array<uint8_t, 32> secret{};

  friend bool operator==(const EnrollmentToken&, const EnrollmentToken&) = default;
};

inline constexpr size_t kMaxTokenHostBytes = 253;  // RFC 1035
inline constexpr size_t kMaxEnrollmentTokenBytes = 512;  // of the text

// InvalidArgument if host or port is out of range.
absl::StatusOr<std::string> FormatEnrollmentToken(const EnrollmentToken& token);

// The inverse; white space around the text is ignored. InvalidArgument says what is wrong with the text (not a token,
// another version, cut off or mistyped) and never quotes it.
absl::StatusOr<EnrollmentToken> ParseEnrollmentToken(std::string_view text);

}  // namespace fleetune
