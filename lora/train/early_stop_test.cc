#include "lora/train/early_stop.h"

#include <gtest/gtest.h>

#include <limits>
#include <vector>

namespace fleetune {
namespace {

TEST(EarlyStopTest, StopsAfterSoManyThatAreNotBetterAndKeepsTheBest) {
  EarlyStop stop(2);
  stop.Add(0, 4.0, std::vector<float>{0});
  stop.Add(10, 3.0, std::vector<float>{1});
  stop.Add(20, 3.5, std::vector<float>{2});
  EXPECT_FALSE(stop.stopped());
  stop.Add(30, 2.5, std::vector<float>{3});  // better: counts anew
  stop.Add(40, 2.5, std::vector<float>{4});  // as good is not better
  EXPECT_FALSE(stop.stopped());
  stop.Add(50, 2.6, std::vector<float>{5});
  EXPECT_TRUE(stop.stopped());
  EXPECT_EQ(stop.state(), (EarlyStop::State{.waited = 2, .best_step = 30, .best_loss = 2.5, .best = {3}}));
}

TEST(EarlyStopTest, WhatIsNoNumberIsNotBetter) {
  EarlyStop stop(1);
  stop.Add(0, 1.0, std::vector<float>{7});
  stop.Add(1, std::numeric_limits<double>::quiet_NaN(), std::vector<float>{8});
  EXPECT_TRUE(stop.stopped());
  EXPECT_EQ(stop.state().best_step, 0u);
}

TEST(EarlyStopTest, GoesOnFromItsState) {
  EarlyStop first(2);
  first.Add(0, 1.0, std::vector<float>{7});
  first.Add(1, 2.0, std::vector<float>{8});
  EarlyStop second(2);
  second.GoOnFrom(first.state());
  second.Add(2, 2.0, std::vector<float>{9});
  EXPECT_TRUE(second.stopped());
  EXPECT_EQ(second.state().best, std::vector<float>{7});
}

TEST(EarlyStopTest, WithoutPatienceItNeitherStopsNorKeeps) {
  EarlyStop stop(0);
  for (uint32_t step = 0; step < 5; ++step) stop.Add(step, step, std::vector<float>{1});
  EXPECT_FALSE(stop.stopped());
  EXPECT_TRUE(stop.state().best.empty());
}

}  // namespace
}  // namespace fleetune
