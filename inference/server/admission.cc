#include "inference/server/admission.h"

#include "base/check.h"
#include "fmt/format.h"

namespace fleetune {

Admission::Admission(uint32_t running, uint32_t waiting) : most_running_(running), most_waiting_(waiting) {
  CHECK(running >= 1);
}

absl::StatusOr<Admission::Turn> Admission::Enter() {
  MutexLock lock(&mutex_);
  if (closed_) return absl::UnavailableError("the server is stopping");
  if (running_ == most_running_ || !waiting_.empty()) {
    if (waiting_.size() >= most_waiting_) {
      return absl::ResourceExhaustedError(
          fmt::format("{} requests are being answered and {} wait: try again later", running_, waiting_.size()));
    }
    const auto mine = waiting_.insert(waiting_.end(), next_ticket_++);
    while (!closed_ && (running_ == most_running_ || mine != waiting_.begin())) changed_.Wait(&mutex_);
    waiting_.erase(mine);
    changed_.SignalAll();  // another is the first now
    if (closed_) return absl::UnavailableError("the server is stopping");
  }
  ++running_;
  return Turn(this);
}

void Admission::Close() {
  MutexLock lock(&mutex_);
  closed_ = true;
  changed_.SignalAll();
}

void Admission::GiveBack() {
  MutexLock lock(&mutex_);
  --running_;
  changed_.SignalAll();
}

uint32_t Admission::running() const {
  MutexLock lock(&mutex_);
  return running_;
}

uint32_t Admission::waiting() const {
  MutexLock lock(&mutex_);
  return static_cast<uint32_t>(waiting_.size());
}

}  // namespace fleetune
