#include "client/data/control_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto/aead.h"
#include "base/files.h"
#include "base/status_macros.h"
#include "client/data/learned_files.h"

namespace fleetune {

namespace fs = std::filesystem;

namespace {

constexpr std::string_view kSealed = ".sealed";
constexpr std::string_view kProposed = ".proposed";

Bytes AssociatedBytes(const ControlledTask& task) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes("fleetune v1 control variates"));
  writer.WriteBlob(AsBytes(task.task));
  writer.WriteBytes(task.base.bytes);
  return writer.Take();
}

void WriteFloats(ByteWriter& writer, const std::vector<float>& values) {
  writer.Write(uint64_t{values.size()});
  writer.WriteBytes({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)});
}

// `size` floats or none: the adapter may have another shape than the one that they are of.
absl::StatusOr<std::vector<float>> ReadFloats(ByteReader& reader, uint64_t size) {
  ASSIGN_OR_RETURN(const uint64_t count, reader.Read<uint64_t>());
  if (count != 0 && count != size) {
    return absl::DataLossError("control variates: expected " + std::to_string(size) + ", got " + std::to_string(count));
  }
  ASSIGN_OR_RETURN(const std::span<const uint8_t> bytes, reader.ReadBytes(count * sizeof(float)));
  std::vector<float> values(count);
  if (count > 0) std::memcpy(values.data(), bytes.data(), bytes.size());
  return values;
}

absl::StatusOr<OwnControl> ParseControl(std::span<const uint8_t> bytes, const ControlledTask& task) {
  ByteReader reader(bytes);
  OwnControl control;
  ASSIGN_OR_RETURN(control.a, ReadFloats(reader, task.a_size));
  ASSIGN_OR_RETURN(control.b, ReadFloats(reader, task.b_size));
  RETURN_IF_ERROR(reader.ExpectEnd());
  return control;
}

// The time of a file says when its task was offered last; it says nothing that the coordinator does not know.
void Touch(const std::string& path, TimePoint now) {
  const int64_t millis = ToMillis(now);
  const timespec time{.tv_sec = millis / 1000, .tv_nsec = millis % 1000 * 1'000'000};
  const timespec times[] = {time, time};
  (void)::utimensat(AT_FDCWD, path.c_str(), times, 0);
}

TimePoint TouchedAt(const std::string& path, TimePoint or_else) {
  struct stat status{};
  if (::stat(path.c_str(), &status) != 0) return or_else;
  return FromMillis(int64_t{status.st_mtim.tv_sec} * 1000 + status.st_mtim.tv_nsec / 1'000'000);
}

}  // namespace

std::string ControlFiles::PathOf(const std::string& task) const {
  return folder_ + "/" + LearnedFileName(task) + std::string(kSealed);
}

std::string ControlFiles::ProposalPath(const std::string& task, const std::string& round) const {
  return folder_ + "/" + LearnedFileName(task) + "." + LearnedFileName(round) + std::string(kProposed);
}

absl::StatusOr<OwnControl> ControlFiles::Begin(const ControlledTask& task) {
  ASSIGN_OR_RETURN(Secret32 key, examples_->ControlKey());
  training_ = Training{.task = task, .key = std::move(key)};
  const std::string path = PathOf(task.task);
  const absl::StatusOr<Bytes> sealed = ReadFile(path, kMaxControlFileBytes + kSealOverheadBytes);
  if (absl::IsNotFound(sealed.status())) return OwnControl{};
  if (absl::IsUnavailable(sealed.status())) return sealed.status();
  if (sealed.ok()) {
    const absl::StatusOr<Bytes> bytes = Open(training_->key, *sealed, AssociatedBytes(task));
    if (bytes.ok()) {
      absl::StatusOr<OwnControl> control = ParseControl(*bytes, task);
      if (control.ok()) return control;
    }
  }
  // Damaged, of another adapter, or sealed before a purge: they begin anew.
  std::error_code error;
  fs::remove(path, error);
  return OwnControl{};
}

absl::Status ControlFiles::Propose(const std::string& round, const OwnControl& control) {
  CHECK(training_.has_value());
  ByteWriter writer;
  WriteFloats(writer, control.a);
  WriteFloats(writer, control.b);
  if (writer.bytes().size() > kMaxControlFileBytes) {
    return absl::ResourceExhaustedError("control variates are too large to keep");
  }
  ASSIGN_OR_RETURN(const Secret32 key, examples_->ControlKey());
  return WriteLearnedFile(ProposalPath(training_->task.task, round), writer.bytes(), AssociatedBytes(training_->task),
                          {.begun_with = training_->key, .now = key}, random_);
}

absl::Status ControlFiles::Accept(const std::string& task, const std::string& round) {
  const std::string proposal = ProposalPath(task, round);
  if (std::rename(proposal.c_str(), PathOf(task).c_str()) != 0) {
    if (errno == ENOENT) return absl::OkStatus();  // accepted already, or purged
    return absl::UnavailableError("cannot rename " + proposal + ": " + std::strerror(errno));
  }
  return SyncFolderOf(proposal);
}

absl::Status ControlFiles::KeepProposal(const std::string& round) {
  const std::string kept = round.empty() ? "" : "." + LearnedFileName(round) + std::string(kProposed);
  return DeleteLearnedFiles(folder_, [&kept](const std::string& path) {
    return path.ends_with(kProposed) && (kept.empty() || !path.ends_with(kept));
  });
}

absl::Status ControlFiles::NoteOffered(const std::vector<std::string>& tasks, TimePoint now) {
  for (const std::string& task : tasks) Touch(PathOf(task), now);
  return DeleteLearnedFiles(folder_, [now](const std::string& path) {
    return path.ends_with(kSealed) && now - TouchedAt(path, now) > kMostTimeWithoutOffer;
  });
}

absl::Status ControlFiles::DeleteAll(const std::string& dir) {
  return DeleteLearnedFiles(FolderIn(dir), [](const std::string&) { return true; });
}

}  // namespace fleetune
