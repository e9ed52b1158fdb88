#pragma once

#include <cstdint>
#include <list>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"

namespace fleetune {

// How many requests are answered at a time, and how many may wait for that, in the order in which they came. Thread-safe:
// waiting for a turn is what its mutex is for.
class Admission {
 public:
  // `running`: at least 1.
  Admission(uint32_t running, uint32_t waiting);

  // The right to run, given back when it ends. The Admission must outlive it.
  class Turn {
   public:
    explicit Turn(Admission* admission) : admission_(admission) {}
    Turn(Turn&& other) noexcept : admission_(std::exchange(other.admission_, nullptr)) {}
    Turn& operator=(Turn&& other) noexcept {
      std::swap(admission_, other.admission_);
      return *this;
    }
    ~Turn() {
      if (admission_ != nullptr) admission_->GiveBack();
    }

   private:
    Admission* admission_;
  };

  // Waits for a turn. ResourceExhausted at once if `waiting` others wait; Unavailable once it is closed.
  absl::StatusOr<Turn> Enter();

  // Nobody enters any more, and who waits is told.
  void Close();

  uint32_t running() const;
  uint32_t waiting() const;

 private:
  void GiveBack();

  const uint32_t most_running_;
  const uint32_t most_waiting_;
  mutable Mutex mutex_;
  CondVar changed_;
  uint32_t running_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t next_ticket_ ABSL_GUARDED_BY(mutex_) = 0;
  std::list<uint64_t> waiting_ ABSL_GUARDED_BY(mutex_);  // tickets
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace fleetune
