#include "lora/plan/control_variates.h"

#include <cmath>

#include "aggregation/encode/encoding_options.h"
#include "base/digest.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/plan/update_options.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

TrainingPlan ControlledPlan() {
  TrainingPlan plan;
  plan.task = "chat";
  plan.targets = {Projection::kQ};
  plan.encoding.lane_bits = 24;
  plan.train.control_variates = true;
  return plan;
}

TEST(ControlVariatesTest, AnUpdateHasTwiceAsManyValuesAndOneWeight) {
  TrainingPlan plan = ControlledPlan();
  EXPECT_THAT(Validate(plan), IsOk());
  EXPECT_EQ(UpdateValues(plan, 100), 200u);
  EXPECT_EQ(UpdateOptions(plan, 100, "chat-1")->values, 200u);
  EXPECT_EQ(*UpdateElements(plan, 100), 200u + 1 + kTelemetryElements);
  plan.train.control_variates = false;
  EXPECT_EQ(UpdateValues(plan, 100), 100u);
  EXPECT_EQ(UpdateOptions(plan, 100, "chat-1")->values, 100u);
}

TEST(ControlVariatesTest, WhatTheyDoNotGoWithIsNamed) {
  TrainingPlan plan = ControlledPlan();
  plan.encoding.max_weight = 2;
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "max_weight"));
  plan = ControlledPlan();
  plan.encoding.lane_bits = 16;
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "lane_bits"));
  plan = ControlledPlan();
  plan.smallest_rank = 2;
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "smallest_rank"));
  plan = ControlledPlan();
  plan.privacy.noise_multiplier = 1;
  EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, "noise"));
}

TEST(ControlVariatesTest, DevicesMoveByWhatTheySent) {
  const std::vector<float> server = {1, -1}, gradient = {3, 4};
  std::vector<float> own = {0.5f, 0};
  EXPECT_THAT(GradientCorrection(server, own), ElementsAre(0.5f, -1.0f));
  const std::vector<float> change = ControlChange(gradient, own);
  EXPECT_THAT(change, ElementsAre(2.5f, 4.0f));
  std::vector<float> clipped = own;
  MoveControl(clipped, change, /*norm=*/10, /*clip_norm=*/5);
  EXPECT_THAT(clipped, ElementsAre(1.75f, 2.0f));
  MoveControl(own, change, /*norm=*/5, /*clip_norm=*/5);
  EXPECT_THAT(own, ElementsAre(3.0f, 4.0f));
}

TEST(ControlVariatesTest, EachFactorHasItsOwn) {
  BaseSizes sizes;
  sizes.layers = 1;
  sizes.projections.fill({.in = 2, .out = 3});
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 1, .alpha = 1, .targets = {Projection::kQ}}, sizes);
  OwnControl own;
  EXPECT_THAT(ControlOf(own, spec, Factors::kBoth), ElementsAre(0, 0, 0, 0, 0));
  own = WithControl(own, spec, Factors::kB, std::vector<float>{1, 2, 3});
  EXPECT_TRUE(own.a.empty());
  EXPECT_THAT(ControlOf(own, spec, Factors::kBoth), ElementsAre(0, 0, 1, 2, 3));
  own = WithControl(own, spec, Factors::kA, std::vector<float>{8, 9});
  EXPECT_THAT(ControlOf(own, spec, Factors::kA), ElementsAre(8, 9));
  EXPECT_THAT(ControlOf(own, spec, Factors::kB), ElementsAre(1, 2, 3));
}

TEST(ControlVariatesTest, TheServersComesAsFloatsOrNotAtAll) {
  EXPECT_THAT(*ReadServerControl({}, 3), ElementsAre(0, 0, 0));
  const std::vector<float> sent = {1.5f, -2};
  const auto bytes = [](const std::vector<float>& values) {
    const auto* first = reinterpret_cast<const uint8_t*>(values.data());
    return std::span<const uint8_t>(first, values.size() * sizeof(float));
  };
  EXPECT_THAT(*ReadServerControl(bytes(sent), 2), ElementsAre(1.5f, -2.0f));
  EXPECT_THAT(ReadServerControl(bytes(sent), 3), HasStatus(StatusCode::kDataLoss, "expected 12 bytes, got 8"));
  EXPECT_THAT(ReadServerControl(bytes(sent).first(7), 2), HasStatus(StatusCode::kDataLoss, "got 7"));
  EXPECT_THAT(ReadServerControl(bytes({0, INFINITY}), 2), HasStatus(StatusCode::kDataLoss, "another at 1"));
}

// With some devices counted in each round, c stays the mean over all of them.
TEST(ControlVariatesTest, TheServersIsTheMeanOverAllDevices) {
  std::vector<std::vector<float>> own(4, {0, 0});
  std::vector<float> server = {0, 0};
  for (int round = 1; round <= 6; ++round) {
    std::vector<float> mean = {0, 0};
    for (int i = 0; i < 2; ++i) {
      std::vector<float>& device = own[static_cast<size_t>((round + i) % 4)];
      const std::vector<float> gradient = {static_cast<float>(round), static_cast<float>(i - round)};
      const std::vector<float> change = ControlChange(gradient, device);
      for (size_t k = 0; k < 2; ++k) mean[k] += change[k] / 2;
      MoveControl(device, change, 1, 1);
    }
    MoveServerControl(server, mean, /*counted=*/2, /*devices=*/4);
  }
  for (size_t k = 0; k < 2; ++k) {
    EXPECT_FLOAT_EQ(server[k], (own[0][k] + own[1][k] + own[2][k] + own[3][k]) / 4);
  }
}

// The paper's option II, for plain SGD: the mean of a device's gradients is c_i - c + (x - y) / (K eta).
TEST(ControlVariatesTest, TheMeanGradientIsOptionTwoOfPlainSgd) {
  const double c = 0.3, own = -0.7, rate = 0.1;
  const int steps = 5;
  double weight = 2, sum = 0;
  for (int k = 0; k < steps; ++k) {
    const double gradient = std::sin(weight) + weight;  // of some loss
    sum += gradient;
    weight -= rate * (gradient + (c - own));
  }
  EXPECT_NEAR(sum / steps, own - c + (2 - weight) / (steps * rate), 1e-12);
}

}  // namespace
}  // namespace fleetune
