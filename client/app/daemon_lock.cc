#include "client/app/daemon_lock.h"

#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

namespace fleetune {
namespace {
struct flock WholeFile(short type) {
  struct flock lock = {};
  lock.l_type = type;
  lock.l_whence = SEEK_SET;
  return lock;
}
}  // namespace

absl::StatusOr<DaemonLock> DaemonLock::Take(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return absl::UnavailableError(fmt::format("{}: {}", path, std::strerror(errno)));
  DaemonLock lock(fd);
  struct flock wanted = WholeFile(F_WRLCK);
  if (fcntl(fd, F_OFD_SETLK, &wanted) != 0) {
    return absl::FailedPreconditionError(fmt::format("{}: another daemon runs in this folder", path));
  }
  return lock;
}

bool DaemonLock::IsHeld(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (fd < 0) return false;
  const DaemonLock closes_it(fd);
  struct flock probe = WholeFile(F_WRLCK);
  return fcntl(fd, F_OFD_GETLK, &probe) == 0 && probe.l_type != F_UNLCK;
}

DaemonLock::~DaemonLock() {
  if (fd_ >= 0) close(fd_);
}

DaemonLock::DaemonLock(DaemonLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

DaemonLock& DaemonLock::operator=(DaemonLock&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

}  // namespace fleetune
