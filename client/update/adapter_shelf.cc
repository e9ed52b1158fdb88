#include "client/update/adapter_shelf.h"

#include <algorithm>
#include <filesystem>
#include <sstream>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxPointerBytes = 4096;
constexpr const char* kPointer = "serving";

std::string FileName(const ServedVersion& version) {
  return fmt::format("{}-{}.ftv", version.version, version.hash.ToHex().substr(0, 16));
}

}  // namespace

std::string AdapterShelf::Folder(const std::string& task) const { return root_ + "/" + task; }

std::vector<std::string> AdapterShelf::ServingNames(const std::string& task) const {
  absl::StatusOr<Bytes> bytes = ReadFile(Folder(task) + "/" + kPointer, kMaxPointerBytes);
  if (!bytes.ok()) return {};
  std::istringstream lines{std::string(AsText(*bytes))};
  std::vector<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    // A name of ours, never a path.
    if (line.ends_with(".ftv") && line.find('/') == std::string::npos) names.push_back(line);
  }
  return names;
}

absl::StatusOr<StoredVersion> AdapterShelf::Read(const std::string& path) const {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(path, kMaxVersionFileBytes));
  absl::StatusOr<StoredVersion> stored = ParseVersion(bytes);
  if (stored.ok()) return stored;
  return absl::DataLossError(path + ": " + std::string(stored.status().message()));
}

std::vector<StoredVersion> AdapterShelf::Serving() const {
  std::vector<StoredVersion> all;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(root_, error)) {
    absl::StatusOr<StoredVersion> stored = Serving(entry.path().filename().string());
    if (stored.ok()) all.push_back(*std::move(stored));
  }
  std::ranges::sort(all, {}, [](const StoredVersion& stored) { return stored.version.task; });
  return all;
}

absl::StatusOr<StoredVersion> AdapterShelf::Serving(const std::string& task) const {
  absl::Status last = absl::NotFoundError(fmt::format("no adapter of task {} on this device yet", task));
  for (const std::string& name : ServingNames(task)) {
    absl::StatusOr<StoredVersion> stored = Read(Folder(task) + "/" + name);
    if (stored.ok() && stored->version.task == task) return stored;
    last = absl::DataLossError(fmt::format("no adapter of task {} can be read: {}", task,
                                           std::string(stored.status().message())));
  }
  return last;
}

absl::StatusOr<StoredVersion> AdapterShelf::Load(const ServedVersion& version) const {
  ASSIGN_OR_RETURN(StoredVersion stored, Read(Folder(version.task) + "/" + FileName(version)));
  if (stored.version != version) {
    return absl::DataLossError(fmt::format("adapter of task {}, version {}: the file holds another version",
                                           version.task, version.version));
  }
  return stored;
}

absl::Status AdapterShelf::Keep(const StoredVersion& stored) {
  std::error_code error;
  fs::create_directories(Folder(stored.version.task), error);
  if (error) {
    return absl::UnavailableError(fmt::format("{}: {}", Folder(stored.version.task), error.message()));
  }
  return WriteFileAtomic(Folder(stored.version.task) + "/" + FileName(stored.version), SerializeVersion(stored), 0600);
}

absl::Status AdapterShelf::Serve(const ServedVersion& version, const std::optional<ServedVersion>& also_keep) {
  RETURN_IF_ERROR(Load(version).status());
  const std::string name = FileName(version);
  std::vector<std::string> names = {name};
  for (const std::string& before : ServingNames(version.task)) {
    if (before != name && names.size() < 2) names.push_back(before);
  }
  std::string text;
  for (const std::string& line : names) text += line + "\n";
  RETURN_IF_ERROR(WriteFileAtomic(Folder(version.task) + "/" + kPointer, AsBytes(text), 0600));

  if (also_keep.has_value() && also_keep->task == version.task) names.push_back(FileName(*also_keep));
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(Folder(version.task), error)) {
    const std::string file = entry.path().filename().string();
    if (file.ends_with(".ftv") && std::ranges::find(names, file) == names.end()) fs::remove(entry.path(), error);
  }
  return absl::OkStatus();
}

}  // namespace fleetune
