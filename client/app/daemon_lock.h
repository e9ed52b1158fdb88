#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace fleetune {

// One daemon a folder: an advisory lock (of the open file) that ends with the process, however it ends. Move-only.
class DaemonLock {
 public:
  // FailedPrecondition if another process holds it.
  static absl::StatusOr<DaemonLock> Take(const std::string& path);
  // Whether a daemon runs.
  static bool IsHeld(const std::string& path);

  ~DaemonLock();
  DaemonLock(DaemonLock&& other) noexcept;
  DaemonLock& operator=(DaemonLock&& other) noexcept;

 private:
  explicit DaemonLock(int fd) : fd_(fd) {}
  int fd_;
};

}  // namespace fleetune
