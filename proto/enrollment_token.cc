#include "proto/enrollment_token.h"

#include <algorithm>
#include <span>

#include "absl/strings/escaping.h"
#include "base/bytes.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr std::string_view kPrefix = "ft1.";
constexpr std::string_view kSpace = " \t\r\n";

uint32_t Crc32(std::span<const uint8_t> bytes) {
  uint32_t crc = 0xffffffffu;
  for (const uint8_t byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
  }
  return ~crc;
}

absl::Status ValidateAddress(const std::string& host, uint16_t port) {
  const auto allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' ||
           c == ':';
  };
  if (host.empty() || host.size() > kMaxTokenHostBytes || !std::all_of(host.begin(), host.end(), allowed)) {
    return absl::InvalidArgumentError("enrolment token: the host must be a DNS name or IP address of 1 to 253 bytes");
  }
  if (port == 0) return absl::InvalidArgumentError("enrolment token: the port must be 1 to 65535, got 0");
  return absl::OkStatus();
}

absl::Status Damaged() {
  return absl::InvalidArgumentError("enrolment token: cut off or mistyped; copy it again as a whole");
}

absl::StatusOr<EnrollmentToken> ParsePieces(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes);
  EnrollmentToken token;
  ASSIGN_OR_RETURN(const uint8_t host_size, reader.Read<uint8_t>());
  ASSIGN_OR_RETURN(const std::span<const uint8_t> host, reader.ReadBytes(host_size));
  token.host = std::string(AsText(host));
  ASSIGN_OR_RETURN(token.port, reader.Read<uint16_t>());
  ASSIGN_OR_RETURN(const std::span<const uint8_t> fingerprint, reader.ReadBytes(token.ca_fingerprint.bytes.size()));
  std::copy(fingerprint.begin(), fingerprint.end(), token.ca_fingerprint.bytes.begin());
  ASSIGN_OR_RETURN(const std::span<const uint8_t> secret, reader.ReadBytes(token.secret.size()));
  std::copy(secret.begin(), secret.end(), token.secret.begin());
  RETURN_IF_ERROR(reader.ExpectEnd());
  return token;
}

}  // namespace

absl::StatusOr<std::string> FormatEnrollmentToken(const EnrollmentToken& token) {
  RETURN_IF_ERROR(ValidateAddress(token.host, token.port));
  ByteWriter writer;
  writer.Write(static_cast<uint8_t>(token.host.size()));
  writer.WriteBytes(AsBytes(token.host));
  writer.Write(token.port);
  writer.WriteBytes(token.ca_fingerprint.bytes);
  writer.WriteBytes(token.secret);
  writer.Write(Crc32(writer.bytes()));
  const std::string_view raw = AsText(writer.bytes());
  return std::string(kPrefix) + absl::WebSafeBase64Escape({raw.data(), raw.size()});
}

absl::StatusOr<EnrollmentToken> ParseEnrollmentToken(std::string_view text) {
  const size_t first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return absl::InvalidArgumentError("enrolment token: it is empty");
  text = text.substr(first, text.find_last_not_of(kSpace) - first + 1);
  if (text.size() > kMaxEnrollmentTokenBytes) {
    return absl::InvalidArgumentError("enrolment token: longer than the 512 bytes that a token has at most");
  }
  if (!text.starts_with("ft")) {
    return absl::InvalidArgumentError("enrolment token: expected text that begins with \"ft1.\"");
  }
  if (!text.starts_with(kPrefix)) {
    return absl::InvalidArgumentError("enrolment token: this program reads tokens of version ft1 only");
  }
  text.remove_prefix(kPrefix.size());
  std::string raw;
  if (!absl::WebSafeBase64Unescape({text.data(), text.size()}, &raw)) return Damaged();
  // One token has one text: no padding, no stray bits, no white space within.
  if (absl::WebSafeBase64Escape(raw) != std::string(text)) return Damaged();
  std::span<const uint8_t> bytes = AsBytes(raw);
  if (bytes.size() < sizeof(uint32_t)) return Damaged();
  ByteReader tail(bytes.last(sizeof(uint32_t)));
  bytes = bytes.first(bytes.size() - sizeof(uint32_t));
  ASSIGN_OR_RETURN(const uint32_t crc, tail.Read<uint32_t>());
  if (crc != Crc32(bytes)) return Damaged();
  absl::StatusOr<EnrollmentToken> token = ParsePieces(bytes);
  if (!token.ok()) return Damaged();
  RETURN_IF_ERROR(ValidateAddress(token->host, token->port));
  return token;
}

}  // namespace fleetune
