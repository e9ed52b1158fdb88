#include "lora/plan/cell_noise.h"

#include <cmath>

#include "aggregation/encode/update_encoder.h"
#include "aggregation/privacy/rdp_accountant.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "lora/plan/update_options.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr uint64_t kValues = 5000;

TrainingPlan NoisyPlan() {
  TrainingPlan plan;
  plan.task = "t";
  plan.targets = {Projection::kQ};
  plan.encoding = {.clip_norm = 0.5, .lane_bits = 24, .max_inputs = 100};
  plan.secure.min_cohort = 20;
  plan.secure.min_survivors = 18;
  plan.privacy = {.noise_multiplier = 1.5};
  return plan;
}

TEST(CellNoiseTest, AllCellsAreEncodedAlike) {
  const TrainingPlan plan = NoisyPlan();
  ASSERT_THAT(Validate(plan), IsOk());
  const auto noise = PlanNoise(plan, kValues);
  ASSERT_THAT(noise, IsOk());
  const auto options = UpdateOptions(plan, kValues, "t-1");
  ASSERT_THAT(options, IsOk());
  EXPECT_THAT(Validate(*options), IsOk());
  EXPECT_EQ(options->scale, noise->scale);
  EXPECT_TRUE(options->wrap_allowed);
  EXPECT_FALSE(options->telemetry);
  EXPECT_EQ(RingLength(*options), kValues + 1);
  EXPECT_EQ(UpdateOptions(plan, kValues, "t-2")->scale, options->scale);
  // The Gaussian's epsilon is the yardstick: integers may cost rounding_overhead more.
  const double gaussian = EpsilonOfGaussian({.noise_multiplier = 1.5}, 1, 1e-6)->epsilon;
  EXPECT_NEAR(noise->epsilon, gaussian, 0.02 * gaussian);
}

TEST(CellNoiseTest, RoundedUpdatesKeepTheSensitivityThatIsCharged) {
  const TrainingPlan plan = NoisyPlan();
  const double limit = PlanNoise(plan, kValues)->release.sensitivity.l2;
  const auto encoder = UpdateEncoder::Create(*UpdateOptions(plan, kValues, "t-1"));
  ASSERT_THAT(encoder, IsOk());
  SplitMix64 random(5);
  for (const float size : {0.0f, 1e-4f, 1.0f, 100.0f}) {
    std::vector<float> values(kValues);
    for (float& value : values) value = size * static_cast<float>(random.NextUnit() - 0.5);
    const auto encoded = encoder->Encode({.values = values, .weight = UpdateWeight(plan, 77)}, random);
    ASSERT_THAT(encoded, IsOk());
    double squares = 0;
    for (uint64_t i = 0; i < kValues; ++i) {
      const double step = SignedElement(encoded->ring[i], LaneBits::k24);
      squares += step * step;
    }
    EXPECT_LE(std::sqrt(squares), limit) << size;
    EXPECT_EQ(encoded->ring[kValues], static_cast<uint32_t>(ShareUnit(encoder->options())));
  }
}

TEST(CellNoiseTest, EveryDeviceWeighsTheSame) {
  TrainingPlan plan = NoisyPlan();
  EXPECT_EQ(UpdateWeight(plan, 1), 1);
  EXPECT_EQ(UpdateWeight(plan, 1000), 1);
  plan.privacy.noise_multiplier = 0;
  plan.encoding.max_weight = 100;
  EXPECT_EQ(UpdateWeight(plan, 7), 7);
  EXPECT_EQ(UpdateWeight(plan, 1000), 100);
}

TEST(CellNoiseTest, ALaneThatIsTooNarrowIsRefused) {
  TrainingPlan plan = NoisyPlan();
  plan.encoding.lane_bits = 16;
  plan.privacy.rounding_overhead = 1e-4;
  const char* advice = "privacy: integers of lane_bits = 16 cost";
  EXPECT_THAT(PlanNoise(plan, kValues), HasStatus(StatusCode::kInvalidArgument, advice));
  EXPECT_THAT(UpdateOptions(plan, kValues, "t-1"), HasStatus(StatusCode::kInvalidArgument, "24 bits would do"));
}

TEST(CellNoiseTest, APlanSaysWhatNoiseNeeds) {
  const auto refused = [](auto change, const char* words) {
    TrainingPlan plan = NoisyPlan();
    change(plan);
    EXPECT_THAT(Validate(plan), HasStatus(StatusCode::kInvalidArgument, words));
  };
  refused([](TrainingPlan& p) { p.secure.mode = SecureMode::kOff; }, "where secure_aggregation is off");
  refused([](TrainingPlan& p) { p.encoding.max_weight = 2; }, "max_weight: expected 1");
  refused([](TrainingPlan& p) { p.trained = LoraMethod::kAlternating; }, "trained = \"b\" without smallest_rank");
  refused([](TrainingPlan& p) { p.smallest_rank = 2; }, "trained = \"b\" without smallest_rank");
  refused([](TrainingPlan& p) { p.secure.mode = SecureMode::kMalicious; }, "at most 64 devices in a cell");
  refused([](TrainingPlan& p) { p.encoding.max_inputs = 19; }, "min_cohort: expected at most");
  refused([](TrainingPlan& p) { p.secure.min_survivors = 17; }, "min_survivors: expected at least (1 - dropout) min_cohort, 18");
  refused([](TrainingPlan& p) { p.privacy.noise_multiplier = 0.04; }, "privacy: noise_multiplier is 0.04");
  refused([](TrainingPlan& p) { p.privacy.noise_multiplier = 101; }, "privacy: noise_multiplier");
  refused([](TrainingPlan& p) { p.privacy.noise_multiplier = -1; }, "privacy: noise_multiplier");
  refused([](TrainingPlan& p) { p.privacy.noise_multiplier = std::nan(""); }, "privacy: noise_multiplier");
  refused([](TrainingPlan& p) { p.privacy.delta = 0; }, "privacy: delta");
  refused([](TrainingPlan& p) { p.privacy.device_epsilon_limit = 1; }, "a noise_multiplier of ");
  // Without noise the rest must be in range all the same.
  refused([](TrainingPlan& p) { p.privacy = {.noise_multiplier = 0, .delta = 1}; }, "privacy: delta");
  TrainingPlan plan = NoisyPlan();
  plan.privacy = {.noise_multiplier = 0, .device_epsilon_limit = 0.01};
  plan.secure.mode = SecureMode::kOff;
  EXPECT_THAT(Validate(plan), IsOk());
}

}  // namespace
}  // namespace fleetune
