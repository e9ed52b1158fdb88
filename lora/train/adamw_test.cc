#include "lora/train/adamw.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

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

// The formulas of the paper in double, step by step.
TEST(AdamWTest, FollowsThePaper) {
  TrainOptions options;
  options.beta1 = 0.9;
  options.beta2 = 0.99;
  options.epsilon = 1e-6;
  options.weight_decay = 0.1;
  AdamW optimizer(options, 2);
  std::vector<float> weights = {1.0f, -2.0f};
  std::vector<double> expected = {1.0, -2.0}, mean = {0, 0}, square = {0, 0};
  for (int step = 1; step <= 5; ++step) {
    const std::vector<float> gradient = {0.5f / static_cast<float>(step), -3.0f};
    optimizer.Step(0.01, gradient, weights);
    for (size_t i = 0; i < 2; ++i) {
      const auto g = static_cast<double>(gradient[i]);
      mean[i] = 0.9 * mean[i] + 0.1 * g;
      square[i] = 0.99 * square[i] + 0.01 * g * g;
      const double m = mean[i] / (1 - std::pow(0.9, step));
      const double v = square[i] / (1 - std::pow(0.99, step));
      expected[i] = expected[i] * (1 - 0.01 * 0.1) - 0.01 * m / (std::sqrt(v) + 1e-6);
      EXPECT_NEAR(weights[i], expected[i], 1e-6);
    }
  }
}

}  // namespace
}  // namespace fleetune
