#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "client/trainer/job_message.h"

namespace fleetune {

// Finds the frames in a stream of bytes that comes in pieces. Holds no more than what was given, whatever a
// length claims. Not thread-safe.
class JobFrameReader {
 public:
  void Add(std::span<const uint8_t> bytes);

  // The next message, or nothing if its frame is not complete yet. Errors of DecodeJobFrame;
  // ResourceExhausted for a frame over kMaxJobFrameBytes. After an error the stream is of no use.
  absl::StatusOr<std::optional<JobMessage>> Next();

 private:
  Bytes bytes_;
  size_t position_ = 0;  // of the first byte that no message has used
};

// One end of the stream socket between the daemon and a trainer. Owns the descriptor. Not thread-safe.
class JobChannel {
 public:
  explicit JobChannel(int fd);
  ~JobChannel();
  JobChannel(JobChannel&& other) noexcept;
  JobChannel& operator=(JobChannel&& other) noexcept;

  // Sends all of it. Unavailable (the other end is gone), DeadlineExceeded (it did not read for
  // `timeout`), ResourceExhausted (over a limit).
  absl::Status Send(const JobMessage& message, std::chrono::milliseconds timeout);

  // The next message; nothing if none is complete within `timeout` (0: only what is there).
  // Unavailable if the other end is gone; errors of JobFrameReader::Next.
  absl::StatusOr<std::optional<JobMessage>> Receive(std::chrono::milliseconds timeout);

  // For poll(); -1 after a move.
  int fd() const { return fd_; }

 private:
  int fd_ = -1;
  JobFrameReader reader_;
};

}  // namespace fleetune
