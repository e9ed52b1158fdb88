#include "client/app/stop_signal.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstring>
#include <utility>

#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

namespace fleetune {

absl::StatusOr<StopSignal> StopSignal::Block() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  if (pthread_sigmask(SIG_BLOCK, &signals, nullptr) != 0) return absl::UnavailableError("cannot block signals");
  const int fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
  if (fd < 0) return absl::UnavailableError(std::string("cannot wait for signals: ") + std::strerror(errno));
  return StopSignal(fd);
}

StopSignal::~StopSignal() {
  if (fd_ >= 0) close(fd_);
}

StopSignal::StopSignal(StopSignal&& other) noexcept : fd_(std::exchange(other.fd_, -1)), came_(other.came_) {}

StopSignal& StopSignal::operator=(StopSignal&& other) noexcept {
  std::swap(fd_, other.fd_);
  std::swap(came_, other.came_);
  return *this;
}

bool StopSignal::Wait(std::chrono::milliseconds timeout, int also) {
  if (came_) return true;
  std::array<pollfd, 2> entries = {pollfd{.fd = fd_, .events = POLLIN, .revents = 0},
                                   pollfd{.fd = also, .events = POLLIN, .revents = 0}};  // -1 is passed over
  const int milliseconds = static_cast<int>(std::clamp<int64_t>(timeout.count(), 0, INT_MAX));
  came_ = poll(entries.data(), entries.size(), milliseconds) > 0 && entries[0].revents != 0;
  return came_;
}

}  // namespace fleetune
