#include "lora/plan/round_update.h"

#include <vector>

#include "aggregation/encode/lanes.h"
#include "aggregation/encode/update_encoder.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/plan/update_options.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using testing::Each;
using testing::FloatNear;
using testing::IsEmpty;

class RoundUpdateTest : public ::testing::Test {
 protected:
  RoundUpdateTest() {
    plan_.task = "t";
    plan_.targets = {Projection::kQ};
    plan_.rank = 2;
    plan_.encoding.lane_bits = 32;
    plan_.encoding.clip_norm = 1000;
    plan_.train.control_variates = true;
  }
  static AdapterSpec Spec() {
    BaseSizes sizes;
    sizes.layers = 1;
    sizes.projections.fill({.in = 4, .out = 8});
    return *AdapterSpec::Create({.rank = 2, .alpha = 2, .targets = {Projection::kQ}}, sizes);
  }
  absl::StatusOr<RoundUpdate> Encode(uint32_t from_version, float delta, float gradient, const OwnControl& own) {
    const uint64_t values = FloatsOf(spec_, TrainedFactors(plan_.trained, from_version));
    const std::vector<float> mean_gradient(values, gradient);
    return EncodeRoundUpdate({.plan = plan_,
                              .spec = spec_,
                              .from_version = from_version,
                              .round = "t-1",
                              .delta = Delta(values, delta),
                              .examples = 5,
                              .mean_gradient = mean_gradient,
                              .own = &own},
                             random_);
  }
  std::vector<float> Decoded(const RoundUpdate& update, uint32_t from_version) {
    const auto encoder = UpdateEncoder::Create(
        *UpdateOptions({.plan = plan_, .spec = spec_, .from_version = from_version, .round = "t-1"}));
    const auto decoded = encoder->Decode(update.ring, 1);
    EXPECT_THAT(decoded, IsOk());
    return decoded->mean;
  }

  const AdapterSpec spec_ = Spec();
  TrainingPlan plan_;
  SplitMix64 random_{7};
};

TEST_F(RoundUpdateTest, DeltaThenChangeUnderOneSum) {
  const OwnControl own{.a = {}, .b = std::vector<float>(16, 0.5f)};
  const auto update = Encode(0, 0.25f, 2, own);
  ASSERT_THAT(update, IsOk());
  EXPECT_EQ(update->parameters, 16u);
  EXPECT_EQ(update->packed, PackLanes(update->ring, LaneBits::k32));
  const std::vector<float> values = Decoded(*update, 0);
  ASSERT_EQ(values.size(), 32u);
  EXPECT_THAT(std::vector<float>(values.begin(), values.begin() + 16), Each(FloatNear(0.25f, 1e-3f)));
  EXPECT_THAT(std::vector<float>(values.begin() + 16, values.end()), Each(FloatNear(1.5f, 1e-3f)));
  EXPECT_THAT(update->control.b, Each(FloatNear(2, 1e-6f)));
  EXPECT_THAT(update->control.a, IsEmpty());
}

// Clipping scales both halves; what stays here moves by what was sent, and not by what was wished.
TEST_F(RoundUpdateTest, TheControlVariatesMoveByWhatClippingLeft) {
  plan_.encoding.clip_norm = 4;  // of a change of norm 3 * sqrt(16) = 12
  const auto update = Encode(0, 0, 3, {});
  ASSERT_THAT(update, IsOk());
  EXPECT_THAT(update->control.b, Each(FloatNear(1, 1e-6f)));
  const std::vector<float> values = Decoded(*update, 0);
  EXPECT_THAT(std::vector<float>(values.begin() + 16, values.end()), Each(FloatNear(1, 1e-3f)));
}

TEST_F(RoundUpdateTest, TheOtherFactorsAreLeftAlone) {
  plan_.trained = LoraMethod::kAlternating;
  const OwnControl own{.a = {}, .b = std::vector<float>(16, 0.5f)};
  const auto update = Encode(1, 0.25f, 2, own);
  ASSERT_THAT(update, IsOk());
  EXPECT_EQ(update->parameters, 8u);
  EXPECT_EQ(update->control.b, own.b);
  EXPECT_THAT(update->control.a, Each(FloatNear(2, 1e-6f)));
}

TEST_F(RoundUpdateTest, WithoutControlVariatesTheDeltaIsAll) {
  plan_.train.control_variates = false;
  const auto update =
      EncodeRoundUpdate({.plan = plan_, .spec = spec_, .round = "t-1", .delta = Delta(16, 0.25f), .examples = 5}, random_);
  ASSERT_THAT(update, IsOk());
  EXPECT_EQ(Decoded(*update, 0).size(), 16u);
  EXPECT_EQ(update->control, OwnControl{});
}

TEST_F(RoundUpdateTest, AMeanGradientOfAnotherSizeIsRefused) {
  const OwnControl own;
  const std::vector<float> gradient(3);
  EXPECT_THAT(EncodeRoundUpdate({.plan = plan_,
                                 .spec = spec_,
                                 .round = "t-1",
                                 .delta = Delta(16),
                                 .mean_gradient = gradient,
                                 .own = &own},
                                random_),
              HasStatus(absl::StatusCode::kInvalidArgument, "mean gradient: expected 16 values, got 3"));
}

}  // namespace
}  // namespace fleetune
