#include "base/strand.h"

#include <utility>

namespace fleetune {

Strand::Strand(size_t max_pending) : max_pending_(max_pending), thread_([this] { Run(); }) {}

Strand::~Strand() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
  }
  changed_.Signal();
  thread_.join();
}

bool Strand::Post(absl::AnyInvocable<void() &&> task) {
  MutexLock lock(&mutex_);
  if (stopping_ || tasks_.size() >= max_pending_) return false;
  tasks_.push_back(std::move(task));
  changed_.Signal();  // with the lock: the task may be what lets the strand end
  return true;
}

void Strand::Run() {
  for (;;) {
    absl::AnyInvocable<void() &&> task;
    {
      MutexLock lock(&mutex_);
      while (!stopping_ && tasks_.empty()) changed_.Wait(&mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    std::move(task)();
  }
}

}  // namespace fleetune
