#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace fleetune {

// Files and folders that only their owner may read. Errors name the path.

// A folder with mode 0700; OK if it is there. Parents must exist.
absl::Status MakePrivateFolder(const std::string& path);
// Replaces `path` as a whole, mode 0600.
absl::Status WritePrivateFile(const std::string& path, std::string_view text);
// Errors of base/files.h ReadFile.
absl::StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes);

}  // namespace fleetune
