#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/digest.h"

namespace fleetune {

// A file that arrives in parts and is named by its hash: what has come survives a restart, and nothing is used before
// the whole has the expected hash. Owns a descriptor. Move-only; not thread-safe.
class PartialFile {
 public:
  // Opens or creates `path`. Unavailable (the system's error).
  static absl::StatusOr<PartialFile> Open(const std::string& path);
  ~PartialFile();
  PartialFile(PartialFile&& other) noexcept;
  PartialFile& operator=(PartialFile&& other) noexcept;

  uint64_t size() const { return size_; }  // bytes that have come: the next part begins here

  // ResourceExhausted (the disk is full) or Unavailable.
  absl::Status Append(std::span<const uint8_t> part);

  // Makes it durable and gives it its final name, if it hashes to `sha256`. Else DataLoss, and it is deleted: the
  // next attempt begins anew.
  absl::Status Finish(const Digest& sha256, const std::string& final_path);

  // Deletes it.
  void Discard();

 private:
  PartialFile(std::string path, int fd, uint64_t size) : path_(std::move(path)), fd_(fd), size_(size) {}
  std::string path_;
  int fd_;
  uint64_t size_;
};

}  // namespace fleetune
