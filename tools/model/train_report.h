#pragma once

#include <chrono>
#include <cstdint>

#include "lora/train/trainer.h"

namespace fleetune {

// Prints how a training goes, on standard error: on a terminal one line that changes, else about one in a hundredth
// of the way. Not thread-safe.
class TrainReport {
 public:
  TrainReport();

  void Step(const TrainStep& step);

  double seconds() const;
  double tokens_per_second() const;

 private:
  const std::chrono::steady_clock::time_point start_;
  const bool terminal_;
  uint64_t tokens_ = 0;
};

// The most memory that this process ever held, of what is in RAM (mapped files included).
uint64_t PeakMemoryBytes();

// What it holds now. 0 if the system does not tell.
uint64_t MemoryBytes();

}  // namespace fleetune
