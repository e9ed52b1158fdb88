#include "aggregation/encode/stochastic_rounding.h"

#include <cmath>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fixed_draws.h"

namespace fleetune {
namespace {

TEST(StochasticRounderTest, RoundsToTheTwoNeighboursOnly) {
  struct Case {
    double number;
    int32_t down;
    int32_t up;
  };
  const Case cases[] = {
      {1.2, 1, 2}, {-1.2, -2, -1}, {0.999, 0, 1}, {-0.001, -1, 0}, {2147483646.5, 2147483646, INT32_MAX}};
  for (const Case& c : cases) {
    FixedDraws ones(0xff);
    FixedDraws zeros(0);
    EXPECT_EQ(StochasticRounder(ones).Round(c.number, 1), c.down) << c.number;
    EXPECT_EQ(StochasticRounder(zeros).Round(c.number, 1), c.up) << c.number;
  }
}

TEST(StochasticRounderTest, LeavesIntegersAlone) {
  for (const int32_t number : {0, 1, -1, 1000, -1000, INT32_MAX, INT32_MIN}) {
    FixedDraws zeros(0);
    EXPECT_EQ(StochasticRounder(zeros).Round(number, 1), number);
  }
}

TEST(StochasticRounderTest, HasNoBias) {
  SplitMix64 random(5);
  for (const double number : {0.2, 0.5, -0.3, 7.9, -12.75, 1000.01}) {
    StochasticRounder rounder(random);
    constexpr int kTrials = 100'000;
    double sum = 0;
    for (int i = 0; i < kTrials; ++i) sum += rounder.Round(number, kTrials - static_cast<size_t>(i));
    // The deviation of one draw is at most 1/2: five deviations of the mean.
    EXPECT_NEAR(sum / kTrials, number, 5 * 0.5 / std::sqrt(kTrials)) << number;
  }
}

TEST(StochasticRounderTest, DrawsFourBytesANumber) {
  FixedDraws draws(0);
  StochasticRounder rounder(draws);
  for (size_t left = 10'000; left > 0; --left) (void)rounder.Round(0.5, left);
  EXPECT_EQ(draws.filled(), 40'000u);
}

}  // namespace
}  // namespace fleetune
