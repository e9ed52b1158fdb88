#pragma once

#include <chrono>

#include "absl/status/statusor.h"

namespace fleetune {

// SIGTERM and SIGINT as something to wait for. They are blocked in this thread and those that it starts from now
// on: make it before any other thread. Move-only; not thread-safe.
class StopSignal {
 public:
  static absl::StatusOr<StopSignal> Block();
  ~StopSignal();
  StopSignal(StopSignal&& other) noexcept;
  StopSignal& operator=(StopSignal&& other) noexcept;

  // Whether one has come, once it has or after `timeout`. Once true, always true. Returns sooner when the descriptor
  // `also` can be read; -1: none.
  bool Wait(std::chrono::milliseconds timeout, int also = -1);

 private:
  explicit StopSignal(int fd) : fd_(fd) {}
  int fd_;
  bool came_ = false;
};

}  // namespace fleetune
