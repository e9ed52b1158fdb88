#include "client/app/served_version.h"

#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "client/update/adapter_shelf.h"

namespace fleetune {

absl::StatusOr<std::optional<StoredVersion>> ServedVersionOf(const DeviceFolder& folder, const std::string& task) {
  const AdapterShelf shelf(folder.adapters());
  if (!task.empty()) {
    ASSIGN_OR_RETURN(StoredVersion stored, shelf.Serving(task));
    return std::optional<StoredVersion>(std::move(stored));
  }
  std::vector<StoredVersion> all = shelf.Serving();
  if (all.size() > 1) {
    std::string names;
    for (const StoredVersion& stored : all) names += (names.empty() ? "" : ", ") + stored.version.task;
    return absl::InvalidArgumentError("this device has adapters of several tasks: choose one with --task: " + names);
  }
  if (all.empty()) return std::optional<StoredVersion>();
  return std::optional<StoredVersion>(std::move(all.front()));
}

}  // namespace fleetune
