#include "client/data/checkpoint_files.h"

#include <filesystem>
#include <system_error>

#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "client/data/learned_files.h"

namespace fleetune {

namespace fs = std::filesystem;

namespace {

std::string PathOf(const std::string& folder, const std::string& round) {
  return folder + "/" + LearnedFileName(round) + ".sealed";
}

Bytes AssociatedBytes(const std::string& round) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes("fleetune v1 checkpoint"));
  writer.WriteBlob(AsBytes(round));
  return writer.Take();
}

}  // namespace

absl::StatusOr<Bytes> CheckpointFiles::Begin(const std::string& round) {
  ASSIGN_OR_RETURN(Secret32 key, examples_->CheckpointKey());
  training_ = Training{.round = round, .key = std::move(key)};
  const std::string path = PathOf(folder_, round);
  const absl::StatusOr<Bytes> sealed = ReadFile(path, kMaxCheckpointFileBytes + kSealOverheadBytes);
  if (absl::IsNotFound(sealed.status())) return Bytes();
  if (sealed.ok()) {
    absl::StatusOr<Bytes> checkpoint = Open(training_->key, *sealed, AssociatedBytes(round));
    if (checkpoint.ok()) return checkpoint;
  }
  // Damaged, or sealed before a purge: the training begins anew.
  std::error_code error;
  fs::remove(path, error);
  return Bytes();
}

absl::Status CheckpointFiles::Put(std::span<const uint8_t> checkpoint) {
  CHECK(training_.has_value());
  if (checkpoint.size() > kMaxCheckpointFileBytes) return absl::ResourceExhaustedError("a checkpoint is too large to keep");
  ASSIGN_OR_RETURN(const Secret32 key, examples_->CheckpointKey());
  return WriteLearnedFile(PathOf(folder_, training_->round), checkpoint, AssociatedBytes(training_->round),
                          {.begun_with = training_->key, .now = key}, random_);
}

absl::Status CheckpointFiles::KeepOnly(const std::string& round) {
  const std::string kept = round.empty() ? "" : PathOf(folder_, round);
  return DeleteLearnedFiles(folder_, [&kept](const std::string& path) { return path != kept; });
}

absl::Status CheckpointFiles::DeleteAll(const std::string& dir) {
  return DeleteLearnedFiles(FolderIn(dir), [](const std::string&) { return true; });
}

}  // namespace fleetune
