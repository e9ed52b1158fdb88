#include "coordinator/app/unmask_threads.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace fleetune {

UnmaskThreads::UnmaskThreads(size_t threads)
    : threads_(threads > 0 ? threads : std::max<size_t>(1, std::thread::hardware_concurrency())) {}

void UnmaskThreads::Run(size_t tasks, absl::FunctionRef<void(size_t)> work) {
  std::atomic<size_t> next = 0;
  const auto take_tasks = [&] {
    for (size_t task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) work(task);
  };
  std::vector<std::jthread> helpers;
  for (size_t i = 1; i < std::min(threads_, tasks); ++i) helpers.emplace_back(take_tasks);
  take_tasks();
}

}  // namespace fleetune
