#include "client/trainer/job_channel.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr size_t kReadBytes = 64 * 1024;

// True if `events` came within `timeout`; false if not. A hang-up counts: the read or write after it tells.
absl::StatusOr<bool> Wait(int fd, short events, steady_clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now()).count();
    pollfd entry = {.fd = fd, .events = events, .revents = 0};
    const int ready = poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1'000'000'000)));
    if (ready > 0) return true;
    if (ready == 0) return false;
    if (errno != EINTR) return absl::UnavailableError(absl::StrCat("waiting for the trainer's socket: ", strerror(errno)));
  }
}

}  // namespace

void JobFrameReader::Add(std::span<const uint8_t> bytes) {
  bytes_.erase(bytes_.begin(), bytes_.begin() + static_cast<std::ptrdiff_t>(position_));
  position_ = 0;
  bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
}

absl::StatusOr<std::optional<JobMessage>> JobFrameReader::Next() {
  const std::span<const uint8_t> left = std::span<const uint8_t>(bytes_).subspan(position_);
  uint32_t size = 0;
  if (left.size() < sizeof(size)) return std::nullopt;
  std::memcpy(&size, left.data(), sizeof(size));
  if (size > kMaxJobFrameBytes) {
    return absl::ResourceExhaustedError(
        absl::StrCat("a frame has at most ", kMaxJobFrameBytes, " bytes, this one claims ", size));
  }
  if (left.size() - sizeof(size) < size) return std::nullopt;
  ASSIGN_OR_RETURN(JobMessage message, DecodeJobFrame(left.subspan(sizeof(size), size)));
  position_ += sizeof(size) + size;
  if (position_ == bytes_.size()) {  // a job's frame may be large, and is used once
    bytes_ = {};
    position_ = 0;
  }
  return message;
}

JobChannel::JobChannel(int fd) : fd_(fd) {}

JobChannel::~JobChannel() {
  if (fd_ >= 0) close(fd_);
}

JobChannel::JobChannel(JobChannel&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), reader_(std::move(other.reader_)) {}

JobChannel& JobChannel::operator=(JobChannel&& other) noexcept {
  if (this == &other) return *this;
  if (fd_ >= 0) close(fd_);
  fd_ = std::exchange(other.fd_, -1);
  reader_ = std::move(other.reader_);
  return *this;
}

absl::Status JobChannel::Send(const JobMessage& message, milliseconds timeout) {
  ASSIGN_OR_RETURN(const Bytes frame, EncodeJobFrame(message));
  std::span<const uint8_t> left(frame);
  auto deadline = steady_clock::now() + timeout;
  while (!left.empty()) {
    ASSIGN_OR_RETURN(const bool ready, Wait(fd_, POLLOUT, deadline));
    if (!ready) return absl::DeadlineExceededError("the other end of the trainer's socket does not read");
    const ssize_t sent = send(fd_, left.data(), left.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent >= 0) {
      left = left.subspan(static_cast<size_t>(sent));
      deadline = steady_clock::now() + timeout;  // it reads: it may go on
    } else if (errno != EINTR && errno != EAGAIN) {
      return absl::UnavailableError(absl::StrCat("writing to the trainer's socket: ", strerror(errno)));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::optional<JobMessage>> JobChannel::Receive(milliseconds timeout) {
  const auto deadline = steady_clock::now() + timeout;
  uint8_t buffer[kReadBytes];
  for (;;) {
    ASSIGN_OR_RETURN(std::optional<JobMessage> message, reader_.Next());
    if (message.has_value()) return message;
    ASSIGN_OR_RETURN(const bool ready, Wait(fd_, POLLIN, deadline));
    if (!ready) return std::nullopt;
    const ssize_t received = recv(fd_, buffer, sizeof(buffer), MSG_DONTWAIT);
    if (received > 0) {
      reader_.Add({buffer, static_cast<size_t>(received)});
    } else if (received == 0) {
      return absl::UnavailableError("the other end of the trainer's socket is closed");
    } else if (errno != EINTR && errno != EAGAIN) {
      return absl::UnavailableError(absl::StrCat("reading the trainer's socket: ", strerror(errno)));
    }
  }
}

}  // namespace fleetune
