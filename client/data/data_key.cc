#include "client/data/data_key.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/crypto/aead.h"
#include "base/crypto/hkdf.h"
#include "base/crypto/random.h"
#include "base/files.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr std::string_view kWrapLabel = "fleetune v1 wrapped data key";
constexpr std::string_view kSealLabel = "fleetune v1 seal examples";
constexpr std::string_view kDuplicatesLabel = "fleetune v1 find equal examples";
constexpr std::string_view kCheckpointsLabel = "fleetune v1 seal checkpoints";
constexpr std::string_view kControlsLabel = "fleetune v1 seal control variates";
constexpr std::string_view kPersonalLabel = "fleetune v1 seal personal adapter";
constexpr std::string_view kPromptsLabel = "fleetune v1 keep prompts";
constexpr std::string_view kHeldOutLabel = "fleetune v1 draw held-out examples";

absl::StatusOr<Secret32> ReadKey(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & 0077) != 0) {
    return absl::FailedPreconditionError("others than its owner may read the key file " + path +
                                         ": run chmod 600 on it");
  }
  ASSIGN_OR_RETURN(Bytes bytes, ReadFile(path, 1024));
  if (bytes.size() != 32) {
    return absl::DataLossError("the key file " + path + " has " + std::to_string(bytes.size()) +
                               " bytes, expected 32");
  }
  Secret32 key(std::span<const uint8_t, 32>(bytes.data(), 32));
  Wipe(bytes);
  return key;
}

absl::StatusOr<Secret32> MakeKey(const std::string& path) {
  Secret32 key;
  SecureRandom().Fill(key.mutable_bytes());
  RETURN_IF_ERROR(WriteFileAtomic(path, key.bytes(), 0600));
  return key;
}

Bytes WrapNewDataKey(const Secret32& file_key) {
  SecureRandom random;
  Secret32 data_key;
  random.Fill(data_key.mutable_bytes());
  return Seal(file_key, data_key.bytes(), AsBytes(kWrapLabel), random);
}

absl::StatusOr<Secret32> UnwrapWith(const std::string& path, std::span<const uint8_t> wrapped) {
  ASSIGN_OR_RETURN(const Secret32 file_key, ReadKey(path));
  absl::StatusOr<Bytes> opened = Open(file_key, wrapped, AsBytes(kWrapLabel));
  if (!opened.ok() || opened->size() != 32) {
    return absl::DataLossError("the key file " + path + " does not belong to this database");
  }
  Secret32 data_key(std::span<const uint8_t, 32>(opened->data(), 32));
  Wipe(*opened);
  return data_key;
}

absl::Status FileError(const char* what, const std::string& path) {
  return absl::UnavailableError(std::string(what) + " " + path + ": " + std::strerror(errno));
}

// Overwrites the 32 bytes in place. A drive that moves what it rewrites may keep a copy: no
// program can prevent that.
absl::Status OverwriteFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? absl::OkStatus() : FileError("cannot open", path);
  constexpr std::array<uint8_t, 32> kZeros{};
  const bool done =
      ::write(fd, kZeros.data(), kZeros.size()) == ssize_t{kZeros.size()} && ::fsync(fd) == 0;
  absl::Status status = done ? absl::OkStatus() : FileError("cannot overwrite", path);
  ::close(fd);
  return status;
}

}  // namespace

absl::StatusOr<Bytes> DataKeyFile::WrapNewKey() const {
  absl::StatusOr<Secret32> key = ReadKey(path_);
  if (absl::IsNotFound(key.status())) key = MakeKey(path_);
  if (!key.ok()) return key.status();
  return WrapNewDataKey(*key);
}

absl::StatusOr<Bytes> DataKeyFile::WrapNewKeyUnderNextFile() const {
  ASSIGN_OR_RETURN(const Secret32 key, MakeKey(next_path_));
  return WrapNewDataKey(key);
}

absl::StatusOr<ExampleKeys> DataKeyFile::Unwrap(std::span<const uint8_t> wrapped) const {
  absl::StatusOr<Secret32> data_key = UnwrapWith(path_, wrapped);
  const absl::Status first = data_key.status();
  if (!data_key.ok()) data_key = UnwrapWith(next_path_, wrapped);
  // Another process may have settled between the two.
  if (!data_key.ok()) data_key = UnwrapWith(path_, wrapped);
  if (absl::IsNotFound(first) && !data_key.ok()) {
    return absl::DataLossError("the key file " + path_ +
                               " is missing: without it the private examples cannot be read; put it "
                               "back, or start anew with `data purge`");
  }
  if (!data_key.ok()) return first;
  return ExampleKeys{.seal = DeriveKey(data_key->bytes(), {}, AsBytes(kSealLabel)),
                     .duplicates = DeriveKey(data_key->bytes(), {}, AsBytes(kDuplicatesLabel)),
                     .checkpoints = DeriveKey(data_key->bytes(), {}, AsBytes(kCheckpointsLabel)),
                     .controls = DeriveKey(data_key->bytes(), {}, AsBytes(kControlsLabel)),
                     .personal = DeriveKey(data_key->bytes(), {}, AsBytes(kPersonalLabel)),
                     .prompts = DeriveKey(data_key->bytes(), {}, AsBytes(kPromptsLabel)),
                     .held_out = DeriveKey(data_key->bytes(), {}, AsBytes(kHeldOutLabel))};
}

absl::Status DataKeyFile::Settle(std::span<const uint8_t> wrapped) const {
  if (UnwrapWith(path_, wrapped).ok()) {
    RETURN_IF_ERROR(OverwriteFile(next_path_));
    if (::unlink(next_path_.c_str()) != 0 && errno != ENOENT) {
      return FileError("cannot remove", next_path_);
    }
    return absl::OkStatus();
  }
  if (!UnwrapWith(next_path_, wrapped).ok()) return Unwrap(wrapped).status();
  RETURN_IF_ERROR(OverwriteFile(path_));
  if (::rename(next_path_.c_str(), path_.c_str()) != 0) return FileError("cannot rename", next_path_);
  return SyncFolderOf(path_);
}

}  // namespace fleetune
