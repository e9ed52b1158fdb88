#include "aggregation/optimizer/server_optimizer.h"

#include <cmath>
#include <limits>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::FloatEq;

constexpr ServerOptimizerOptions kFedAvg = {};
constexpr ServerOptimizerOptions kFedAvgM = {.learning_rate = 0.5, .momentum = 0.9};
constexpr ServerOptimizerOptions kFedAdam = {.kind = ServerOptimizerKind::kFedAdam,
                                             .learning_rate = 0.1};

std::vector<float> RandomDelta(size_t size, SplitMix64& random) {
  std::vector<float> delta(size);
  for (float& value : delta) value = static_cast<float>(2 * random.NextUnit() - 1);
  return delta;
}

TEST(ServerOptimizerOptionsTest, FieldsAreLimitedOnBothSides) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Case {
    const char* name;
    double ServerOptimizerOptions::*field;
    std::vector<double> inside;
    std::vector<double> outside;
  };
  const Case cases[] = {
      {"learning_rate", &ServerOptimizerOptions::learning_rate, {1e-300, 10}, {0, 10.0001, nan}},
      {"momentum", &ServerOptimizerOptions::momentum, {0, 0.9999}, {-0.001, 1, nan}},
      {"beta1", &ServerOptimizerOptions::beta1, {0, 0.9999}, {-0.001, 1, nan}},
      {"beta2", &ServerOptimizerOptions::beta2, {0, 0.9999}, {-0.001, 1, nan}},
      {"tau", &ServerOptimizerOptions::tau, {1e-300, 1}, {0, 1.0001, nan}},
  };
  for (const Case& c : cases) {
    ServerOptimizerOptions options;
    for (const double value : c.inside) {
      options.*c.field = value;
      EXPECT_THAT(Validate(options), IsOk()) << c.name;
    }
    for (const double value : c.outside) {
      options.*c.field = value;
      EXPECT_THAT(Validate(options), HasStatus(StatusCode::kInvalidArgument, c.name));
      EXPECT_THAT(ServerOptimizer::Create(options, 1), HasStatus(StatusCode::kInvalidArgument, c.name));
    }
  }
  EXPECT_THAT(Validate({.kind = static_cast<ServerOptimizerKind>(3)}),
              HasStatus(StatusCode::kInvalidArgument, "kind"));
}

TEST(ServerOptimizerTest, SizeIsLimitedOnBothSides) {
  EXPECT_THAT(ServerOptimizer::Create(kFedAvg, 1), IsOk());
  EXPECT_THAT(ServerOptimizer::Create(kFedAvg, kMaxOptimizedParameters), IsOk());
  for (const uint64_t size : {uint64_t{0}, kMaxOptimizedParameters + 1}) {
    EXPECT_THAT(ServerOptimizer::Create(kFedAvg, size), HasStatus(StatusCode::kInvalidArgument, "size"));
  }
}

TEST(ServerOptimizerTest, FedAvgWithRateOneIsThePlainMean) {
  auto optimizer = ServerOptimizer::Create(kFedAvg, 3);
  ASSERT_THAT(optimizer, IsOk());
  const std::vector<float> delta = {1.5f, -2, 0.1f};
  EXPECT_EQ(optimizer->Step(delta), delta);
  EXPECT_EQ(optimizer->Step(delta), delta);
}

TEST(ServerOptimizerTest, FedAvgMKeepsMomentum) {
  auto optimizer = ServerOptimizer::Create(kFedAvgM, 1);
  ASSERT_THAT(optimizer, IsOk());
  EXPECT_THAT(optimizer->Step(std::vector<float>{2}), ElementsAre(FloatEq(1)));       // m = 2
  EXPECT_THAT(optimizer->Step(std::vector<float>{2}), ElementsAre(FloatEq(1.9f)));    // m = 3.8
  EXPECT_THAT(optimizer->Step(std::vector<float>{0}), ElementsAre(FloatEq(1.71f)));   // m = 3.42
}

TEST(ServerOptimizerTest, FedAdamFollowsThePaper) {
  auto optimizer = ServerOptimizer::Create(kFedAdam, 1);
  ASSERT_THAT(optimizer, IsOk());
  double m = 0;
  double v = 1e-6;
  SplitMix64 random(1);
  for (int i = 0; i < 100; ++i) {
    const std::vector<float> delta = RandomDelta(1, random);
    const double d = delta[0];
    m = 0.9 * m + 0.1 * d;
    v = 0.99 * v + 0.01 * d * d;
    EXPECT_NEAR(optimizer->Step(delta)[0], 0.1 * m / (std::sqrt(v) + 1e-3), 1e-6);
  }
}

TEST(ServerOptimizerTest, FedAdamsFirstStepFromNothingIsNothing) {
  auto optimizer = ServerOptimizer::Create(kFedAdam, 2);
  EXPECT_THAT(optimizer->Step(std::vector<float>{0, -0.0f}), testing::Each(0.0f));
}

TEST(ServerOptimizerTest, RestoredGoesOnWithTheSameBits) {
  for (const ServerOptimizerOptions& options : {kFedAvg, kFedAvgM, kFedAdam}) {
    SplitMix64 random(2);
    auto whole = ServerOptimizer::Create(options, 17);
    ASSERT_THAT(whole, IsOk());
    for (int i = 0; i < 5; ++i) (void)whole->Step(RandomDelta(17, random));
    auto restored = ServerOptimizer::Restore(options, 17, whole->SaveState());
    ASSERT_THAT(restored, IsOk());
    EXPECT_EQ(restored->SaveState(), whole->SaveState());
    for (int i = 0; i < 5; ++i) {
      const std::vector<float> delta = RandomDelta(17, random);
      EXPECT_EQ(restored->Step(delta), whole->Step(delta));
    }
  }
}

TEST(ServerOptimizerTest, RestoreRefusesOtherOptionsAndSizes) {
  const Bytes state = ServerOptimizer::Create(kFedAdam, 4)->SaveState();
  EXPECT_THAT(ServerOptimizer::Restore(kFedAdam, 4, state), IsOk());
  EXPECT_THAT(ServerOptimizer::Restore(kFedAdam, 5, state), HasStatus(StatusCode::kDataLoss, "size"));
  EXPECT_THAT(ServerOptimizer::Restore(kFedAvgM, 4, state), HasStatus(StatusCode::kDataLoss, "options"));
  ServerOptimizerOptions other = kFedAdam;
  other.beta2 = 0.999;
  EXPECT_THAT(ServerOptimizer::Restore(other, 4, state), HasStatus(StatusCode::kDataLoss, "options"));
}

TEST(ServerOptimizerTest, RestoreRefusesDamage) {
  const Bytes state = ServerOptimizer::Create(kFedAdam, 4)->SaveState();
  for (size_t size = 0; size < state.size(); ++size) {
    EXPECT_THAT(ServerOptimizer::Restore(kFedAdam, 4, std::span(state).first(size)),
                HasStatus(StatusCode::kDataLoss, ""));
  }
  Bytes longer = state;
  longer.push_back(0);
  EXPECT_THAT(ServerOptimizer::Restore(kFedAdam, 4, longer), HasStatus(StatusCode::kDataLoss, "follow"));
  Bytes negative = state;
  negative.back() |= 0x80;  // the sign of the last second moment
  EXPECT_THAT(ServerOptimizer::Restore(kFedAdam, 4, negative), HasStatus(StatusCode::kDataLoss, "moment"));
}

}  // namespace
}  // namespace fleetune
