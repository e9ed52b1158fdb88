#include "inference/kernels/workers.h"

#include <sched.h>

#include <algorithm>

#include "base/check.h"

namespace fleetune {
namespace {

// Some microseconds of looking, then as many turns given to others, before sleeping: between the products of one token
// there are fewer.
constexpr int kLooks = 200;
constexpr int kYields = 200;

void Pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Looks, then gives way, until `ready`; false if it was not after kYields turns.
template <typename Ready>
bool Await(Ready ready) {
  for (int i = 0; i < kLooks; ++i) {
    if (ready()) return true;
    Pause();
  }
  for (int i = 0; i < kYields; ++i) {
    if (ready()) return true;
    sched_yield();
  }
  return false;
}

}  // namespace

Workers::Workers(size_t threads) {
  CHECK(threads >= 1 && threads <= kMaxThreads);
  for (size_t i = 1; i < threads; ++i) threads_.emplace_back([this] { Work(); });
}

Workers::~Workers() {
  stopping_.store(true);
  {
    MutexLock lock(&sleep_mutex_);
    wake_.SignalAll();
  }
  for (std::thread& thread : threads_) thread.join();
}

void Workers::Run(size_t parts, absl::FunctionRef<void(size_t)> part) {
  CHECK(parts <= kMaxParts);
  if (threads_.empty() || parts <= 1) {
    for (size_t i = 0; i < parts; ++i) part(i);
    return;
  }
  MutexLock lock(&run_mutex_);
  part_ = &part;
  done_.store(0, std::memory_order_relaxed);
  loop_ = (loop_ + 1) & 0xFFFFFFFF;
  ticket_.store(Ticket(loop_, parts, 0));
  if (sleepers_.load() > 0) {
    MutexLock sleep_lock(&sleep_mutex_);
    wake_.SignalAll();
  }
  while (RunOnePart()) {
  }
  while (!Await([&] { return done_.load(std::memory_order_acquire) == parts; })) {
  }
}

bool Workers::HasWork() const {
  const uint64_t ticket = ticket_.load();
  return (ticket & 0xFFFF) < (ticket >> 16 & 0xFFFF);
}

bool Workers::RunOnePart() {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & 0xFFFF) < (ticket >> 16 & 0xFFFF)) {
    if (!ticket_.compare_exchange_weak(ticket, ticket + 1)) continue;
    (*part_)(ticket & 0xFFFF);
    done_.fetch_add(1, std::memory_order_release);
    return true;
  }
  return false;
}

void Workers::WaitForWork() {
  if (Await([this] { return HasWork() || stopping_.load(); })) return;
  MutexLock lock(&sleep_mutex_);
  sleepers_.fetch_add(1);
  // Run stores the ticket before it looks for sleepers, so one of the two is seen.
  while (!HasWork() && !stopping_.load()) wake_.Wait(&sleep_mutex_);
  sleepers_.fetch_sub(1);
}

void Workers::Work() {
  while (!stopping_.load()) {
    if (!RunOnePart()) WaitForWork();
  }
}

size_t UsableProcessors() {
  cpu_set_t set;
  const size_t count = sched_getaffinity(0, sizeof(set), &set) == 0
                           ? static_cast<size_t>(CPU_COUNT(&set))
                           : std::max<size_t>(1, std::thread::hardware_concurrency());
  return std::min(count, Workers::kMaxThreads);
}

}  // namespace fleetune
