#include "coordinator/app/backup_folder.h"

#include <sys/stat.h>

#include <filesystem>

#include <fmt/format.h>

#include "base/status_macros.h"
#include "coordinator/app/private_files.h"

namespace fleetune {

absl::StatusOr<MadeBackup> BackupFolder::Make() {
  RETURN_IF_ERROR(MakePrivateFolder(path_));
  MadeBackup made{.path = fmt::format("{}/fleet-{}.db", path_, ToMillis(clock_->Now())), .size_bytes = 0};
  RETURN_IF_ERROR(store_->Backup(made.path));
  chmod(made.path.c_str(), 0600);
  std::error_code error;
  made.size_bytes = std::filesystem::file_size(made.path, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", made.path, error.message()));
  return made;
}

}  // namespace fleetune
