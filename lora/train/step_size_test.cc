#include "lora/train/step_size.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace fleetune {
namespace {

TEST(LearningRateTest, WarmsUpAndStaysConstant) {
  TrainOptions options;
  options.learning_rate = 0.1;
  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 10), 0.1);  // no warm-up
  options.warmup_steps = 4;
  EXPECT_DOUBLE_EQ(LearningRate(options, 1, 10), 0.025);
  EXPECT_DOUBLE_EQ(LearningRate(options, 4, 10), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 5, 10), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 10, 10), 0.1);
}

TEST(LearningRateTest, FallsByACosineTowardsZeroAfterTheLastStep) {
  TrainOptions options;
  options.learning_rate = 0.1;
  options.schedule = Schedule::kCosine;
  options.warmup_steps = 2;
  EXPECT_DOUBLE_EQ(LearningRate(options, 2, 12), 0.1);
  EXPECT_DOUBLE_EQ(LearningRate(options, 3, 12), 0.1);
  EXPECT_NEAR(LearningRate(options, 8, 12), 0.05, 1e-12);  // half way
  EXPECT_GT(LearningRate(options, 12, 12), 0.0);
  EXPECT_LT(LearningRate(options, 12, 12), 0.01);
}

TEST(LearningRateTest, WarmUpLongerThanTheTrainingIsNoError) {
  TrainOptions options;
  options.learning_rate = 0.1;
  options.schedule = Schedule::kCosine;
  options.warmup_steps = 100;
  EXPECT_DOUBLE_EQ(LearningRate(options, 10, 10), 0.01);
}

TEST(ClipByNormTest, ScalesOnlyWhatIsTooLong) {
  std::vector<float> gradient = {3, 4};
  EXPECT_DOUBLE_EQ(ClipByNorm(gradient, 5.0), 5.0);
  EXPECT_EQ(gradient, (std::vector<float>{3, 4}));
  EXPECT_DOUBLE_EQ(ClipByNorm(gradient, 2.5), 5.0);
  EXPECT_EQ(gradient, (std::vector<float>{1.5, 2}));
  std::vector<float> nothing = {0, 0};
  EXPECT_DOUBLE_EQ(ClipByNorm(nothing, 1.0), 0.0);
}

TEST(ClipByNormTest, GivesBackWhatIsNotFinite) {
  std::vector<float> gradient = {1, std::numeric_limits<float>::infinity()};
  EXPECT_FALSE(std::isfinite(ClipByNorm(gradient, 1.0)));
}

}  // namespace
}  // namespace fleetune
