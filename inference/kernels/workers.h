#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <thread>
#include <vector>

#include "absl/functional/function_ref.h"
#include "base/mutex.h"

namespace fleetune {

// Threads that share the parts of a loop with the caller. They look for work for some microseconds after the last, giving
// way to others, and then sleep; a thread that the system does not run holds nobody up, unless it is in a part.
//
// Thread-safe: loops of several callers run one after another. A part must not call Run on the same workers.
class Workers {
 public:
  static constexpr size_t kMaxThreads = 256;
  static constexpr size_t kMaxParts = 65'535;

  // `threads`, the caller's included: 1 .. kMaxThreads; checked.
  explicit Workers(size_t threads);
  ~Workers();
  Workers(const Workers&) = delete;
  Workers& operator=(const Workers&) = delete;

  size_t threads() const { return threads_.size() + 1; }

  // part(0) ... part(parts - 1), each once, by any thread and in any order; returns when all have ended.
  // Requires parts <= kMaxParts; checked.
  void Run(size_t parts, absl::FunctionRef<void(size_t)> part);

 private:
  // What is to be claimed: a loop's number (upper 32 bits), its parts (16), the next part (16).
  static uint64_t Ticket(uint64_t loop, uint64_t parts, uint64_t next) { return loop << 32 | parts << 16 | next; }

  void Work();
  bool RunOnePart();
  bool HasWork() const;
  void WaitForWork();

  std::atomic<uint64_t> ticket_{0};
  std::atomic<size_t> done_{0};     // parts of the present loop
  std::atomic<size_t> sleepers_{0};
  std::atomic<bool> stopping_{false};
  // Read only by who has claimed a part, so never while Run replaces it.
  const absl::FunctionRef<void(size_t)>* part_ = nullptr;
  uint64_t loop_ ABSL_GUARDED_BY(run_mutex_) = 0;

  Mutex run_mutex_;    // one loop at a time
  Mutex sleep_mutex_;  // with wake_
  CondVar wake_;
  std::vector<std::thread> threads_;
};

// How many threads pay on this machine: the processors that this process may use, at most kMaxThreads.
size_t UsableProcessors();

}  // namespace fleetune
