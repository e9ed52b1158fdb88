#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace fleetune {

// Reads a whole file. NotFound if there is none, ResourceExhausted if it has more than
// `max_bytes`. Messages name the path.
absl::StatusOr<Bytes> ReadFile(const std::string& path, uint64_t max_bytes);

// Replaces `path` as a whole: written beside it, fsynced, renamed, the folder
// fsynced. After a crash the old or the new content is there. `mode` as for chmod.
absl::Status WriteFileAtomic(const std::string& path, std::span<const uint8_t> bytes,
                             uint32_t mode = 0644);

// The same for content that is made piece by piece: `write` calls its argument with each, in order. An error of it
// is returned, and nothing replaced.
using ByteSink = absl::FunctionRef<absl::Status(std::span<const uint8_t>)>;
absl::Status WriteFileAtomic(const std::string& path, absl::FunctionRef<absl::Status(ByteSink)> write,
                             uint32_t mode = 0644);

// Makes the names in the folder of `path` durable: after a rename or a removal.
absl::Status SyncFolderOf(const std::string& path);

// A file mapped for reading. Immutable, so thread-safe. The views that it gives live
// as long as it does. A file that shrinks while it is mapped kills the process
// (SIGBUS): files that are mapped are replaced, never rewritten.
class MappedFile {
 public:
  // NotFound, InvalidArgument (not a regular file, empty) or Unavailable (the system's error).
  static absl::StatusOr<std::shared_ptr<const MappedFile>> Open(const std::string& path);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const uint8_t> bytes() const { return bytes_; }
  const std::string& path() const { return path_; }

  // What was read so far no longer counts as this process's memory; reading it again is as slow as at first. The views
  // stay as they are. Thread-safe.
  void ReleasePages() const;

 private:
  MappedFile(std::string path, std::span<const uint8_t> bytes)
      : path_(std::move(path)), bytes_(bytes) {}

  std::string path_;
  std::span<const uint8_t> bytes_;
};

}  // namespace fleetune
