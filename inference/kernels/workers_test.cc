#include "inference/kernels/workers.h"

#include <atomic>
#include <vector>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(Workers, RunEachPartOnce) {
  for (const size_t threads : {1u, 2u, 5u}) {
    Workers workers(threads);
    EXPECT_EQ(workers.threads(), threads);
    for (const size_t parts : {0u, 1u, 2u, 7u, 1000u}) {
      std::vector<std::atomic<int>> runs(parts);
      workers.Run(parts, [&](size_t part) { runs[part].fetch_add(1); });
      for (size_t part = 0; part < parts; ++part) EXPECT_EQ(runs[part].load(), 1);
    }
  }
}

TEST(Workers, WhatPartsWroteIsThereAfterwards) {
  Workers workers(4);
  std::vector<size_t> written(64);
  for (size_t loop = 0; loop < 2000; ++loop) {
    workers.Run(written.size(), [&](size_t part) { written[part] = loop + part; });
    for (size_t part = 0; part < written.size(); ++part) ASSERT_EQ(written[part], loop + part);
  }
}

TEST(Workers, LoopsOfSeveralCallersDoNotMix) {
  Workers workers(3);
  std::vector<std::thread> callers;
  std::atomic<size_t> wrong{0};
  for (size_t caller = 0; caller < 4; ++caller) {
    callers.emplace_back([&workers, &wrong, caller] {
      for (size_t loop = 0; loop < 300; ++loop) {
        std::vector<size_t> written(17);
        workers.Run(written.size(), [&](size_t part) { written[part] = caller * 1000 + part; });
        for (size_t part = 0; part < written.size(); ++part) wrong += written[part] != caller * 1000 + part;
      }
    });
  }
  for (std::thread& thread : callers) thread.join();
  EXPECT_EQ(wrong.load(), 0u);
}

TEST(WorkersDeathTest, ChecksItsCaller) {
  EXPECT_DEATH(Workers(0), "threads");
  Workers workers(1);
  EXPECT_DEATH(workers.Run(Workers::kMaxParts + 1, [](size_t) {}), "kMaxParts");
}

}  // namespace
}  // namespace fleetune
