#include "tests/bench/crew.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <thread>
#include <vector>

#include "base/check.h"

namespace fleetune::bench {

double ThreadSeconds() {
  timespec now = {};
  CHECK(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) == 0);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

namespace {

// The longest of so many threads, each of which takes the next task when it is done with one.
double LongestOf(size_t threads, const std::vector<double>& task_seconds) {
  std::vector<double> busy(threads);
  for (const double seconds : task_seconds) *std::ranges::min_element(busy) += seconds;
  return *std::ranges::max_element(busy);
}

}  // namespace

Crew::Crew(size_t threads) {
  CHECK(threads >= 1);
  for (size_t thread = 1; thread < threads; ++thread) others_.emplace_back([this] { RunThread(); });
}

Crew::~Crew() {
  {
    const std::lock_guard lock(mutex_);
    over_ = true;
  }
  changed_.notify_all();
  for (std::thread& other : others_) other.join();
}

void Crew::RunThread() {
  std::unique_lock lock(mutex_);
  for (size_t done = 0;; ++done) {
    changed_.wait(lock, [&] { return over_ || turn_ > done; });
    if (over_) return;
    const absl::FunctionRef<void()> share = *share_;
    lock.unlock();
    share();
    lock.lock();
    if (--running_ == 0) changed_.notify_all();
  }
}

void Crew::For(size_t tasks, absl::FunctionRef<void(size_t)> work) {
  std::vector<double> task_seconds(tasks);
  std::atomic<size_t> next = 0;
  std::mutex others_mutex;
  double others_seconds = 0;
  const auto run_tasks = [&] {
    const double start = ThreadSeconds();
    double now = start;
    for (size_t task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) {
      work(task);
      const double end = ThreadSeconds();
      task_seconds[task] = end - now;
      now = end;
    }
    return now - start;
  };
  const auto share = [&] {
    const double seconds = run_tasks();
    const std::lock_guard lock(others_mutex);
    others_seconds += seconds;
  };
  {
    const std::lock_guard lock(mutex_);
    share_.emplace(share);
    ++turn_;
    running_ = others_.size();
  }
  changed_.notify_all();
  const double own_seconds = run_tasks();
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return running_ == 0; });
    share_.reset();
  }
  // What the caller did itself is on the clock of Measure, in the place of what the longest thread would have done.
  beside_.longest += LongestOf(threads(), task_seconds) - own_seconds;
  beside_.total += others_seconds;
}

Effort Crew::Measure(absl::FunctionRef<void()> work) {
  beside_ = {};
  const double start = ThreadSeconds();
  work();
  const double here = ThreadSeconds() - start;
  return {.longest = here + beside_.longest, .total = here + beside_.total};
}

}  // namespace fleetune::bench
