#pragma once

#include <cstddef>

#include "absl/functional/function_ref.h"

namespace fleetune::bench {

// Processor time of the calling thread, in seconds. Other programs on the machine do not count in it.
double ThreadSeconds();

// What a piece of work cost.
struct Effort {
  double longest = 0;  // seconds of processor time along the longest thread: the time that it takes on idle cores
  double total = 0;    // of all threads

  Effort& operator+=(const Effort& other) {
    longest += other.longest;
    total += other.total;
    return *this;
  }
};

// Threads that share work, and a stopwatch that counts processor time, so that a busy machine gives the same figures
// as an idle one. Not thread-safe.
class Crew {
 public:
  // Requires threads >= 1; checked.
  explicit Crew(size_t threads);

  // Runs `work(i)` for each i in [0, tasks). Thread t has the tasks t, t + threads, ...: which thread is given how much
  // must not depend on who else uses the machine. Starts the threads and joins them: none lives on, so that the
  // process may be forked. Does not nest.
  void For(size_t tasks, absl::FunctionRef<void(size_t)> work);

  // Runs `work`, which may call For.
  Effort Measure(absl::FunctionRef<void()> work);

  size_t threads() const { return threads_; }

 private:
  size_t threads_;
  Effort beside_;  // what For cost on other threads than the caller's, since Measure began
};

}  // namespace fleetune::bench
