#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <google/protobuf/repeated_ptr_field.h>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/digest.h"

namespace fleetune {

// Checks of single message fields. Each error is InvalidArgument and begins with `field`.

// Exactly 32 bytes.
absl::StatusOr<Digest> DigestField(std::string_view field, const std::string& value);

// 1 .. 64 bytes of [A-Za-z0-9._-]: ids, tags, names of tasks and models.
absl::Status CheckNameField(std::string_view field, const std::string& value);
// The same, or empty.
absl::Status CheckOptionalNameField(std::string_view field, const std::string& value);

// Words for people: at most `max_bytes`, no control characters (they would forge lines in a log).
absl::Status CheckWordsField(std::string_view field, const std::string& value, size_t max_bytes);

// At most kMaxDeviceTags names, none twice.
absl::StatusOr<std::vector<std::string>> TagsField(std::string_view field,
                                                   const google::protobuf::RepeatedPtrField<std::string>& values);

absl::Status CheckRangeField(std::string_view field, uint64_t value, uint64_t min, uint64_t max);

inline std::string ToBytesField(const Digest& digest) { return std::string(AsText(digest.bytes)); }

}  // namespace fleetune
