#include "coordinator/rpc/fields.h"

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "coordinator/rpc/message_limits.h"

namespace fleetune {
namespace {

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_' || c == '-';
}

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

}  // namespace

absl::StatusOr<Digest> DigestField(std::string_view field, const std::string& value) {
  Digest digest;
  if (value.size() != digest.bytes.size()) {
    return absl::InvalidArgumentError(fmt::format("{}: expected 32 bytes, got {}", field, value.size()));
  }
  std::copy(value.begin(), value.end(), digest.bytes.begin());
  return digest;
}

absl::Status CheckNameField(std::string_view field, const std::string& value) {
  if (value.empty() || value.size() > kMaxNameBytes) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected 1 to {} bytes, got {}", field, kMaxNameBytes, value.size()));
  }
  if (!std::all_of(value.begin(), value.end(), IsNameCharacter)) {
    return absl::InvalidArgumentError(fmt::format("{}: expected only letters, digits, '.', '_' and '-'", field));
  }
  return absl::OkStatus();
}

absl::Status CheckOptionalNameField(std::string_view field, const std::string& value) {
  return value.empty() ? absl::OkStatus() : CheckNameField(field, value);
}

absl::Status CheckWordsField(std::string_view field, const std::string& value, size_t max_bytes) {
  if (value.size() > max_bytes) {
    return absl::InvalidArgumentError(fmt::format("{}: expected at most {} bytes, got {}", field, max_bytes,
                                                  value.size()));
  }
  if (std::any_of(value.begin(), value.end(), IsControl)) {
    return absl::InvalidArgumentError(fmt::format("{}: expected no control characters", field));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<std::string>> TagsField(std::string_view field,
                                                   const google::protobuf::RepeatedPtrField<std::string>& values) {
  if (static_cast<size_t>(values.size()) > kMaxDeviceTags) {
    return absl::InvalidArgumentError(fmt::format("{}: expected at most {} tags, got {}", field, kMaxDeviceTags,
                                                  values.size()));
  }
  std::set<std::string> seen;
  for (const std::string& value : values) {
    RETURN_IF_ERROR(CheckNameField(field, value));
    if (!seen.insert(value).second) {
      return absl::InvalidArgumentError(fmt::format("{}: {} is there twice", field, value));
    }
  }
  return std::vector<std::string>(values.begin(), values.end());
}

absl::Status CheckRangeField(std::string_view field, uint64_t value, uint64_t min, uint64_t max) {
  if (value >= min && value <= max) return absl::OkStatus();
  return absl::InvalidArgumentError(fmt::format("{}: expected {} to {}, got {}", field, min, max, value));
}

}  // namespace fleetune
