#include "client/app/payload_files.h"

#include <algorithm>
#include <filesystem>

#include <fmt/format.h>

#include "aggregation/encode/fixed_point.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace fleetune {

namespace fs = std::filesystem;

absl::Status PayloadFiles::Put(const Digest& sha256, std::span<const uint8_t> bytes) {
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) return absl::UnavailableError(fmt::format("{}: {}", folder_, error.message()));
  return WriteFileAtomic(Path(sha256), bytes, 0600);
}

absl::StatusOr<Bytes> PayloadFiles::Get(const Digest& sha256) {
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(Path(sha256), (kMaxEncodedValues + 1) * sizeof(uint32_t)));
  if (Sha256(bytes) != sha256) return absl::DataLossError(Path(sha256) + ": its bytes do not have its name's hash");
  return bytes;
}

absl::Status PayloadFiles::KeepOnly(const std::vector<Digest>& wanted) {
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder_, error)) {
    const bool keep = std::any_of(wanted.begin(), wanted.end(),
                                  [&](const Digest& sha256) { return entry.path() == fs::path(Path(sha256)); });
    if (!keep) fs::remove(entry.path(), error);
  }
  return absl::OkStatus();
}

}  // namespace fleetune
