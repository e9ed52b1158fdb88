#include "client/personal/personal_shelf.h"

#include <filesystem>
#include <system_error>

#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;

std::string FolderIn(const std::string& dir) { return dir + "/personal"; }

// Names of tasks come from outside: a hash of one is a name for a file, whatever it holds.
std::string PathOf(const std::string& dir, const std::string& task) {
  return FolderIn(dir) + "/" + Sha256(AsBytes(task)).ToHex() + ".sealed";
}

Bytes AssociatedBytes(const std::string& task, const Digest& base) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes("fleetune v1 personal adapter"));
  writer.WriteBlob(AsBytes(task));
  writer.WriteBytes(base.bytes);
  return writer.Take();
}

}  // namespace

absl::Status PersonalShelf::Begin() {
  ASSIGN_OR_RETURN(key_, examples_->PersonalKey());
  return absl::OkStatus();
}

absl::Status PersonalShelf::Keep(const PersonalAdapter& personal) {
  CHECK(key_.has_value());
  ASSIGN_OR_RETURN(const Secret32 key, examples_->PersonalKey());
  if (!ConstantTimeEqual(key.bytes(), key_->bytes())) {
    return absl::FailedPreconditionError("the examples were destroyed while they were trained on");
  }
  std::error_code error;
  fs::create_directories(FolderIn(dir_), error);
  if (error) return absl::UnavailableError(FolderIn(dir_) + ": " + error.message());
  fs::permissions(FolderIn(dir_), fs::perms::owner_all, error);
  return WriteFileAtomic(
      PathOf(dir_, personal.task),
      Seal(key, SerializePersonal(personal), AssociatedBytes(personal.task, personal.base), random_), 0600);
}

absl::StatusOr<PersonalAdapter> PersonalShelf::Load(const std::string& task, const Digest& base) {
  ASSIGN_OR_RETURN(const Bytes sealed, ReadFile(PathOf(dir_, task), kMaxPersonalBytes + kSealOverheadBytes));
  ASSIGN_OR_RETURN(const Secret32 key, examples_->PersonalKey());
  const absl::StatusOr<Bytes> opened = Open(key, sealed, AssociatedBytes(task, base));
  if (!opened.ok()) {
    return absl::DataLossError("the personal adapter of task " + task +
                               " does not open: it is damaged, of another base model, or older than a purge");
  }
  return ParsePersonal(*opened);
}

absl::StatusOr<std::optional<PersonalAdapter>> PersonalShelf::Find(const std::string& dir, const std::string& task,
                                                                   const Digest& base) {
  std::error_code error;
  if (!fs::exists(PathOf(dir, task), error)) return std::optional<PersonalAdapter>();
  const SystemClock clock;
  ASSIGN_OR_RETURN(ExampleStore examples, ExampleStore::Open(dir, clock));
  absl::StatusOr<PersonalAdapter> personal = PersonalShelf(dir, &examples).Load(task, base);
  if (absl::IsNotFound(personal.status())) return std::optional<PersonalAdapter>();
  RETURN_IF_ERROR(personal.status());
  return std::optional<PersonalAdapter>(*std::move(personal));
}

absl::StatusOr<uint32_t> PersonalShelf::DeleteAll(const std::string& dir) {
  std::error_code error;
  uint32_t deleted = 0;
  for (const fs::directory_entry& entry : fs::directory_iterator(FolderIn(dir), error)) {
    std::error_code failed;
    fs::remove_all(entry.path(), failed);
    if (failed) return absl::UnavailableError("cannot delete " + entry.path().string() + ": " + failed.message());
    ++deleted;
  }
  if (deleted > 0) RETURN_IF_ERROR(SyncFolderOf(FolderIn(dir) + "/any"));
  return deleted;
}

}  // namespace fleetune
