#include "coordinator/app/unmask_threads.h"

#include <atomic>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(UnmaskThreadsTest, EachTaskRunsOnceOnAnyNumberOfThreads) {
  for (const size_t threads : {0, 1, 2, 7}) {
    for (const size_t tasks : {0, 1, 2, 1000}) {
      std::vector<std::atomic<int>> runs(tasks);
      UnmaskThreads(threads).Run(tasks, [&](size_t task) { ++runs[task]; });
      for (const std::atomic<int>& count : runs) ASSERT_EQ(count, 1);
    }
  }
}

}  // namespace
}  // namespace fleetune
