#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/app/device_folder.h"
#include "client/update/version_file.h"

namespace fleetune {

// What prompts about `task` are answered with; if it is empty, of the only task on the device, or nothing if there is none.
// InvalidArgument naming the tasks if there are several; errors of AdapterShelf::Serving.
absl::StatusOr<std::optional<StoredVersion>> ServedVersionOf(const DeviceFolder& folder, const std::string& task);

}  // namespace fleetune
