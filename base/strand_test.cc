#include "base/strand.h"

#include <latch>
#include <memory>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using ::testing::ElementsAre;

TEST(StrandTest, RunsInTheOrderOfPosting) {
  std::vector<int> ran;
  {
    Strand strand(1000);
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(strand.Post([&ran, i] { ran.push_back(i); }));
  }  // what is queued runs before the strand ends
  ASSERT_EQ(ran.size(), 1000u);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(ran[static_cast<size_t>(i)], i);
}

TEST(StrandTest, FullQueueRefusesAndDropsTheTask) {
  std::latch started(1);
  std::latch go_on(1);
  std::vector<int> ran;
  const auto dropped = std::make_shared<int>(0);
  {
    Strand strand(2);
    ASSERT_TRUE(strand.Post([&] {
      started.count_down();
      go_on.wait();
    }));
    started.wait();  // the first task waits no more
    EXPECT_TRUE(strand.Post([&] { ran.push_back(1); }));
    EXPECT_TRUE(strand.Post([&] { ran.push_back(2); }));
    EXPECT_FALSE(strand.Post([&ran, dropped] { ran.push_back(3); }));
    EXPECT_EQ(dropped.use_count(), 1);
    go_on.count_down();
  }
  EXPECT_THAT(ran, ElementsAre(1, 2));
}

TEST(StrandTest, ATaskMayPostAnother) {
  std::latch done(1);
  Strand strand(4);
  ASSERT_TRUE(strand.Post([&] { EXPECT_TRUE(strand.Post([&] { done.count_down(); })); }));
  done.wait();
}

TEST(StrandTest, TakesTasksThatCanOnlyBeMoved) {
  int seen = 0;
  {
    Strand strand(1);
    ASSERT_TRUE(strand.Post([value = std::make_unique<int>(5), &seen] { seen = *value; }));
  }
  EXPECT_EQ(seen, 5);
}

}  // namespace
}  // namespace fleetune
