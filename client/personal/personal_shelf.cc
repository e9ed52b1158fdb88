#include "client/personal/personal_shelf.h"

#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <system_error>

#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "client/data/learned_files.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;

std::string FolderIn(const std::string& dir) { return dir + "/personal"; }

std::string PathOf(const std::string& dir, const std::string& task) {
  return FolderIn(dir) + "/" + LearnedFileName(task) + ".sealed";
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
  return WriteLearnedFile(PathOf(dir_, personal.task), SerializePersonal(personal),
                          AssociatedBytes(personal.task, personal.base), {.begun_with = *key_, .now = key}, random_);
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

std::string PersonalShelf::Stamp(const std::string& dir, const std::string& task) {
  struct stat file;
  if (::stat(PathOf(dir, task).c_str(), &file) != 0) return "";
  // It is replaced by a rename, so there is another inode, or another time where an inode is used again.
  return std::to_string(file.st_ino) + "/" + std::to_string(file.st_mtim.tv_sec) + "." +
         std::to_string(file.st_mtim.tv_nsec);
}

absl::StatusOr<uint32_t> PersonalShelf::DeleteAll(const std::string& dir) {
  uint32_t deleted = 0;
  RETURN_IF_ERROR(DeleteLearnedFiles(FolderIn(dir), [&deleted](const std::string&) {
    ++deleted;
    return true;
  }));
  return deleted;
}

}  // namespace fleetune
