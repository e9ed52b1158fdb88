#pragma once

#include <cstddef>

#include "absl/functional/function_ref.h"
#include "coordinator/core/ports.h"

namespace fleetune {

// Runs the tiles of an unmasking on as many threads as the machine has processors, the caller among them. The threads
// last for one Run: a sum is opened once in minutes, and takes seconds. Thread-safe.
class UnmaskThreads final : public ParallelRunner {
 public:
  // 0: as many as the machine has.
  explicit UnmaskThreads(size_t threads = 0);

  void Run(size_t tasks, absl::FunctionRef<void(size_t)> work) override;

 private:
  size_t threads_;
};

}  // namespace fleetune
