#include "client/data/delete_files.h"

#include <filesystem>
#include <system_error>

#include "base/files.h"

namespace fleetune {

namespace fs = std::filesystem;

absl::Status DeleteFiles(const std::string& folder, absl::FunctionRef<bool(const std::string& path)> unwanted) {
  std::error_code error;
  bool deleted = false;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (!unwanted(entry.path().string())) continue;
    std::error_code failed;
    fs::remove_all(entry.path(), failed);
    if (failed) return absl::UnavailableError("cannot delete " + entry.path().string() + ": " + failed.message());
    deleted = true;
  }
  return deleted ? SyncFolderOf(folder + "/any") : absl::OkStatus();
}

}  // namespace fleetune
