#include "inference/runtime/log_probabilities.h"

#include <cmath>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(LogProbabilities, OfTheChosenAndOfTheLikeliest) {
  const std::vector<float> logits = {std::log(1.0f), std::log(6.0f), std::log(3.0f)};
  const auto found = LogProbabilities(logits, 0, 2);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].token, 0);
  EXPECT_NEAR(found[0].log_probability, std::log(0.1), 1e-6);
  EXPECT_EQ(found[1].token, 1);
  EXPECT_NEAR(found[1].log_probability, std::log(0.6), 1e-6);
  EXPECT_EQ(found[2].token, 2);
  EXPECT_NEAR(found[2].log_probability, std::log(0.3), 1e-6);
}

TEST(LogProbabilities, AreNeverAboveZeroAndAsManyAsThereAre) {
  const auto found = LogProbabilities(std::vector<float>{80, -80}, 0, 20);
  ASSERT_EQ(found.size(), 3u);
  EXPECT_EQ(found[0].log_probability, 0);
  EXPECT_NEAR(found[2].log_probability, -160, 1e-4);
  EXPECT_EQ(LogProbabilities(std::vector<float>{5, 5}, 1, 1)[1].token, 0);  // of equals the first
  EXPECT_EQ(LogProbabilities(std::vector<float>{5}, 0, 0).size(), 1u);
}

}  // namespace
}  // namespace fleetune
