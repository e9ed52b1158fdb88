#pragma once

#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "client/app/device_folder.h"
#include "client/update/version_file.h"
#include "inference/server/served_adapters.h"
#include "lora/adapter/adapter_spec.h"

namespace fleetune {

// A task's adapters that the API answers with: the fleet's, and the device's own on top of it. Plain data.
struct ServedTask {
  ServedAdapter fleet;                    // under the task's name
  std::optional<ServedAdapter> personal;  // on top of `fleet`, under "TASK:personal"
  std::string personal_stamp;             // PersonalShelf::Stamp, when it was looked for
  std::string problem;                    // why a personal adapter that is there is left out; empty: nothing is
};

// Reads both. What `before` holds already stays the same object, so that kept prompts go on; it may be null. Errors of
// RebuildAdapter, for a fleet's adapter that does not fit.
absl::StatusOr<ServedTask> ServeTask(const DeviceFolder& folder, const StoredVersion& stored, const BaseSizes& sizes,
                                     const ServedTask* before);

// Whether the task's personal adapter was kept, replaced or deleted since.
bool IsStale(const DeviceFolder& folder, const ServedTask& task);

// What requests can ask for: TASK, and where there is a personal adapter also "TASK:personal" and, without it, "TASK:fleet".
// TASK alone means with it if `personal_by_default`. Names of tasks hold no colon.
ServedAdapters::List ModelsOf(const ServedTask& task, bool personal_by_default);

}  // namespace fleetune
