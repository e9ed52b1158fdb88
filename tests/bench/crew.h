#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

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
// as an idle one. They live as long as the crew: a process forks before it has one. One thread uses it at a time.
class Crew {
 public:
  // Requires threads >= 1, the caller counted; checked.
  explicit Crew(size_t threads);
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Runs `work(i)` for each i in [0, tasks); each thread takes the next task when it is done with one, as a coordinator's
  // do. Who takes which depends on who else uses the machine, so the longest thread's time is reckoned from those of the
  // tasks, as idle cores would share them. Does not nest.
  void For(size_t tasks, absl::FunctionRef<void(size_t)> work);

  // Runs `work`, which may call For.
  Effort Measure(absl::FunctionRef<void()> work);

  size_t threads() const { return others_.size() + 1; }

 private:
  void RunThread();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<absl::FunctionRef<void()>> share_;  // what each of the others is to run; under mutex_, as all up to here
  size_t turn_ = 0;                                 // counts the calls of For
  size_t running_ = 0;                              // of the others
  bool over_ = false;

  Effort beside_;  // what For cost beyond the caller's own time, since Measure began
  std::vector<std::thread> others_;
};

}  // namespace fleetune::bench
