#include "client/app/served_task.h"

#include <memory>
#include <utility>

#include <fmt/format.h>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "client/personal/personal_adapter.h"
#include "client/personal/personal_shelf.h"

namespace fleetune {
namespace {

constexpr size_t kDigits = 12;  // of hashes that people see

absl::StatusOr<ServedAdapter> Rebuild(const StoredVersion& stored, const BaseSizes& sizes) {
  ASSIGN_OR_RETURN(Adapter adapter, RebuildAdapter(stored, sizes));
  const std::string hash = stored.version.hash.ToHex();
  // Of the bits, whatever name they are asked for by.
  return ServedAdapter{.name = stored.version.task,
                       .version = stored.version.version,
                       .hash = hash,
                       .identity = fmt::format("{}@{}-{}", stored.version.task, stored.version.version, hash.substr(0, kDigits)),
                       .adapter = std::make_shared<const Adapter>(std::move(adapter))};
}

absl::StatusOr<std::optional<ServedAdapter>> FindPersonal(const DeviceFolder& folder, const StoredVersion& stored,
                                                          const ServedAdapter& fleet) {
  ASSIGN_OR_RETURN(const std::optional<PersonalAdapter> personal,
                   PersonalShelf::Find(folder.root, stored.version.task, stored.base));
  if (!personal.has_value()) return std::optional<ServedAdapter>();
  ASSIGN_OR_RETURN(Adapter joined, PutOnTop(*personal, *fleet.adapter));
  const std::string hash = Sha256(SerializePersonal(*personal)).ToHex();
  return std::optional(ServedAdapter{.name = fleet.name + ":personal",
                                     .version = fleet.version,
                                     .hash = Sha256(AsBytes(fleet.hash + hash)).ToHex(),
                                     .identity = fmt::format("{}+personal-{}", fleet.identity, hash.substr(0, kDigits)),
                                     .adapter = std::make_shared<const Adapter>(std::move(joined))});
}

ServedAdapter Named(std::string name, ServedAdapter adapter) {
  adapter.name = std::move(name);
  return adapter;
}

}  // namespace

absl::StatusOr<ServedTask> ServeTask(const DeviceFolder& folder, const StoredVersion& stored, const BaseSizes& sizes,
                                     const ServedTask* before) {
  ServedTask task;
  // Before it is read: one that comes in between is found stale.
  task.personal_stamp = PersonalShelf::Stamp(folder.root, stored.version.task);
  const bool same_fleet = before != nullptr && before->fleet.hash == stored.version.hash.ToHex() &&
                          before->fleet.version == stored.version.version;
  if (same_fleet && before->personal_stamp == task.personal_stamp) return *before;
  if (same_fleet) {
    task.fleet = before->fleet;
  } else {
    ASSIGN_OR_RETURN(task.fleet, Rebuild(stored, sizes));
  }
  if (task.personal_stamp.empty()) return task;
  absl::StatusOr<std::optional<ServedAdapter>> personal = FindPersonal(folder, stored, task.fleet);
  if (personal.ok()) {
    task.personal = *std::move(personal);
  } else {
    task.problem = std::string(personal.status().message());
  }
  return task;
}

bool IsStale(const DeviceFolder& folder, const ServedTask& task) {
  return PersonalShelf::Stamp(folder.root, task.fleet.name) != task.personal_stamp;
}

ServedAdapters::List ModelsOf(const ServedTask& task, bool personal_by_default) {
  if (!task.personal.has_value()) return {task.fleet};
  const std::string& name = task.fleet.name;
  return {Named(name, personal_by_default ? *task.personal : task.fleet), *task.personal,
          Named(name + ":fleet", task.fleet)};
}

}  // namespace fleetune
