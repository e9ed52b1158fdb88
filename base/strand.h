#pragma once

#include <cstddef>
#include <deque>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/functional/any_invocable.h"
#include "base/mutex.h"

namespace fleetune {

// A serial queue with a thread of its own: tasks run one at a time, in the order
// in which they were posted. State that belongs to a strand needs no lock.
// Thread-safe. Destruction runs what is queued, then joins.
class Strand {
 public:
  // `max_pending` bounds what waits; a full queue refuses.
  explicit Strand(size_t max_pending);
  ~Strand();
  Strand(const Strand&) = delete;
  Strand& operator=(const Strand&) = delete;

  // False if the queue is full: `task` is then dropped, and the caller answers
  // its peer with Unavailable.
  [[nodiscard]] bool Post(absl::AnyInvocable<void() &&> task);

 private:
  void Run();

  const size_t max_pending_;
  Mutex mutex_;
  CondVar changed_;
  std::deque<absl::AnyInvocable<void() &&>> tasks_ ABSL_GUARDED_BY(mutex_);
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: starts when the rest is ready
};

}  // namespace fleetune
