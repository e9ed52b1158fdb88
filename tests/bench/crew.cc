#include "tests/bench/crew.h"

#include <algorithm>
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

Crew::Crew(size_t threads) : threads_(threads) { CHECK(threads >= 1); }

void Crew::For(size_t tasks, absl::FunctionRef<void(size_t)> work) {
  const size_t threads = std::min(threads_, std::max<size_t>(tasks, 1));
  std::vector<double> seconds(threads);
  const auto share = [&](size_t thread) {
    const double start = ThreadSeconds();
    for (size_t i = thread; i < tasks; i += threads) work(i);
    seconds[thread] = ThreadSeconds() - start;
  };
  std::vector<std::thread> others;
  for (size_t thread = 1; thread < threads; ++thread) others.emplace_back(share, thread);
  share(0);
  for (std::thread& other : others) other.join();
  // The caller's own share is on the clock of Measure.
  beside_.longest += *std::ranges::max_element(seconds) - seconds[0];
  for (size_t thread = 1; thread < threads; ++thread) beside_.total += seconds[thread];
}

Effort Crew::Measure(absl::FunctionRef<void()> work) {
  beside_ = {};
  const double start = ThreadSeconds();
  work();
  const double here = ThreadSeconds() - start;
  return {.longest = here + beside_.longest, .total = here + beside_.total};
}

}  // namespace fleetune::bench
