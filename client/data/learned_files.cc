#include "client/data/learned_files.h"

#include <filesystem>
#include <system_error>

#include "base/bytes.h"
#include "base/crypto/aead.h"
#include "base/crypto/sha256.h"
#include "base/files.h"

namespace fleetune {

namespace fs = std::filesystem;

absl::Status WriteLearnedFile(const std::string& path, std::span<const uint8_t> learned, std::span<const uint8_t> associated,
                              const LearnedFileKeys& keys, RandomSource& random) {
  if (!ConstantTimeEqual(keys.now.bytes(), keys.begun_with.bytes())) {
    return absl::FailedPreconditionError("the examples were destroyed while they were trained on");
  }
  const fs::path folder = fs::path(path).parent_path();
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) return absl::UnavailableError(folder.string() + ": " + error.message());
  fs::permissions(folder, fs::perms::owner_all, error);
  return WriteFileAtomic(path, Seal(keys.now, learned, associated, random), 0600);
}

std::string LearnedFileName(std::string_view task_or_round) { return Sha256(AsBytes(task_or_round)).ToHex(); }

absl::Status DeleteLearnedFiles(const std::string& folder, absl::FunctionRef<bool(const std::string& path)> unwanted) {
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
