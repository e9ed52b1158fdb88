#include "coordinator/app/private_files.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace fleetune {

absl::Status MakePrivateFolder(const std::string& path) {
  if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::UnavailableError(fmt::format("{}: cannot make the folder: {}", path, std::strerror(errno)));
  }
  return absl::OkStatus();
}

absl::Status WritePrivateFile(const std::string& path, std::string_view text) {
  return WriteFileAtomic(path, AsBytes(text), 0600);
}

absl::StatusOr<std::string> ReadTextFile(const std::string& path, uint64_t max_bytes) {
  ASSIGN_OR_RETURN(const Bytes bytes, ReadFile(path, max_bytes));
  return std::string(AsText(bytes));
}

}  // namespace fleetune
