#pragma once

#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"

namespace fleetune {

// Deletes what `unwanted` says of a folder's entries, durably; nothing if there is no such folder. Unavailable naming
// what could not be deleted.
absl::Status DeleteFiles(const std::string& folder, absl::FunctionRef<bool(const std::string& path)> unwanted);

}  // namespace fleetune
