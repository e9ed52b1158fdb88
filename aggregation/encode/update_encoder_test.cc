#include "aggregation/encode/update_encoder.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/hex.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/fixed_draws.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::ElementsAre;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// Small, without rotation, 100 steps for 1.
EncodingOptions Plain(uint64_t values) {
  return {.values = values, .max_inputs = 100, .scale = 100, .telemetry = false};
}

EncodingOptions Rotated(uint64_t values) {
  EncodingOptions options = {.values = values, .max_inputs = 100};
  options.rotation.emplace()[0] = 7;
  return options;
}

UpdateEncoder Encoder(const EncodingOptions& options) {
  auto encoder = UpdateEncoder::Create(options);
  EXPECT_THAT(encoder, IsOk());
  return *std::move(encoder);
}

absl::StatusOr<EncodedInput> EncodeValues(const EncodingOptions& options, std::vector<float> values) {
  FixedDraws down(0xff);
  return Encoder(options).Encode({.values = std::move(values)}, down);
}

double Norm(const std::vector<double>& values) {
  return std::sqrt(std::inner_product(values.begin(), values.end(), values.begin(), 0.0));
}

TEST(UpdateEncoderTest, BadOptionsAreRefused) {
  EXPECT_THAT(UpdateEncoder::Create({}), HasStatus(StatusCode::kInvalidArgument, "values"));
}

TEST(UpdateEncoderTest, ValuesWeightsAndTelemetryFollowOneAnother) {
  EncodingOptions options = Plain(3);
  options.max_weight = 4;
  options.lane = LaneBits::k16;
  options.telemetry = true;
  FixedDraws down(0xff);
  const auto encoded = Encoder(options).Encode({.values = {0.5f, -0.25f, 0}, .weight = 2}, down);
  ASSERT_THAT(encoded, IsOk());
  // One share is (2^15 - 1) / 100 = 327 steps; the peak is half of the range.
  EXPECT_THAT(encoded->ring, ElementsAre(25u, 65536u - 13, 0u, 163u, 0u, 0u, 163u));
  EXPECT_FALSE(encoded->clipped);
  EXPECT_EQ(encoded->clamped, 0u);
  EXPECT_DOUBLE_EQ(encoded->peak, 0.5);
  EXPECT_DOUBLE_EQ(encoded->norm, std::sqrt(0.3125));
  EXPECT_EQ(down.filled(), 4 * encoded->ring.size());
}

TEST(UpdateEncoderTest, ClipsTheWholeUpdateToTheNorm) {
  const EncodingOptions options = Plain(2);
  const auto encoded = EncodeValues(options, {3, -4});
  ASSERT_THAT(encoded, IsOk());
  EXPECT_TRUE(encoded->clipped);
  EXPECT_EQ(encoded->norm, 5);
  EXPECT_NEAR(SignedElement(encoded->ring[0], LaneBits::k32), 60, 1);
  EXPECT_NEAR(SignedElement(encoded->ring[1], LaneBits::k32), -80, 1);
  EXPECT_FALSE(EncodeValues(options, {1, 0})->clipped);
  EXPECT_TRUE(EncodeValues(options, {std::nextafter(1.0f, 2.0f), 0})->clipped);
}

TEST(UpdateEncoderTest, HugeAndTinyUpdatesKeepTheirNorm) {
  for (const EncodingOptions& options : {Plain(4), Rotated(4)}) {
    const auto huge = EncodeValues(options, std::vector<float>(4, std::numeric_limits<float>::max()));
    ASSERT_THAT(huge, IsOk());
    double squares = 0;
    for (size_t i = 0; i < 4; ++i) squares += std::pow(SignedElement(huge->ring[i], LaneBits::k32), 2);
    EXPECT_NEAR(std::sqrt(squares) / StepsPerUnit(options), 1, 0.02);
    const auto tiny = EncodeValues(options, std::vector<float>(4, std::numeric_limits<float>::denorm_min()));
    ASSERT_THAT(tiny, IsOk());
    EXPECT_FALSE(tiny->clipped);
  }
}

// Rotation is an isometry but for float rounding, which must not lift the norm over what privacy counts on.
TEST(UpdateEncoderTest, RotatedStepsNeverExceedTheClipNorm) {
  SplitMix64 random(11);
  for (int trial = 0; trial < 50; ++trial) {
    EncodingOptions options = Rotated(1000 + random.Below(3000));
    options.scale = 1e6;
    options.rounded_norm_limit = 1e6;  // leaves rounding towards zero alone
    std::vector<float> values(options.values);
    for (float& value : values) value = static_cast<float>(random.NextUnit() - 0.5);
    const auto encoded = Encoder(options).Encode({.values = std::move(values)}, random);
    ASSERT_THAT(encoded, IsOk());
    double squares = 0;
    for (size_t i = 0; i < options.values; ++i) squares += std::pow(SignedElement(encoded->ring[i], options.lane), 2);
    EXPECT_LE(std::sqrt(squares), 1e6);
    EXPECT_GE(std::sqrt(squares), 1e6 - std::sqrt(static_cast<double>(options.values)));
  }
}

// 400 values of half a step: n of them rounded up have the norm sqrt(n), 14.1 on the average.
EncodingOptions HalfSteps(double rounded_norm_limit) {
  EncodingOptions options = Plain(400);
  options.scale = 10;
  options.rounded_norm_limit = rounded_norm_limit;
  return options;
}

TEST(UpdateEncoderTest, RoundingIsRepeatedUntilTheNormFits) {
  int above_without_limit = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    for (const double limit : {0.0, 14.0}) {  // one attempt in three is below 14
      SplitMix64 random(seed);
      const auto encoded = Encoder(HalfSteps(limit)).Encode({.values = std::vector<float>(400, 0.05f)}, random);
      ASSERT_THAT(encoded, IsOk());
      const auto ups = std::count(encoded->ring.begin(), encoded->ring.begin() + 400, 1u);
      EXPECT_GT(ups, 150);
      if (limit > 0) {
        EXPECT_LE(ups, 196);
      } else {
        above_without_limit += ups > 196 ? 1 : 0;
      }
    }
  }
  EXPECT_GT(above_without_limit, 5);
}

TEST(UpdateEncoderTest, RoundingGivesUpTowardsZero) {
  FixedDraws up(0);
  const auto encoded = Encoder(HalfSteps(14)).Encode({.values = std::vector<float>(400, 0.05f)}, up);
  ASSERT_THAT(encoded, IsOk());
  EXPECT_THAT(std::span(encoded->ring).first(400), Each(0u));
  EXPECT_EQ(up.filled(), 4u * (400 * kMaxRoundingAttempts + 1));
}

TEST(UpdateEncoderTest, ClampsCoordinatesBeforeTheyAreWeighted) {
  EncodingOptions options = Rotated(1);
  options.values = 10'000;
  options.range_factor = 1;  // one deviation: about a third is beyond it
  options.lane = LaneBits::k32;
  std::vector<float> values(options.values);
  SplitMix64 random(2);
  for (float& value : values) value = static_cast<float>(random.NextUnit() - 0.5);
  options.max_weight = 2;
  const auto encoded = Encoder(options).Encode({.values = std::move(values), .weight = 1}, random);
  ASSERT_THAT(encoded, IsOk());
  EXPECT_NEAR(static_cast<double>(encoded->clamped) / 10'000, 0.317, 0.03);
  EXPECT_GT(encoded->peak, 2);
  const double limit = static_cast<double>(MaxSteps(options)) / 2;
  uint64_t at_limit = 0;
  for (size_t i = 0; i < options.values; ++i) {
    const double size = std::abs(static_cast<double>(SignedElement(encoded->ring[i], options.lane)));
    ASSERT_LE(size, std::ceil(limit));
    at_limit += size >= std::floor(limit) ? 1 : 0;
  }
  EXPECT_EQ(at_limit, encoded->clamped);
}

TEST(UpdateEncoderTest, RefusesWhatIsNotFiniteNamingTheFirst) {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(EncodeValues(Plain(3), {1, bad, bad}),
                HasStatus(StatusCode::kInvalidArgument, "value 1 is not finite"));
  }
}

TEST(UpdateEncoderTest, RefusesOtherSizes) {
  for (const size_t size : {0u, 2u, 4u}) {
    EXPECT_THAT(EncodeValues(Plain(3), std::vector<float>(size)),
                HasStatus(StatusCode::kInvalidArgument, "expected 3 values"));
  }
}

TEST(UpdateEncoderTest, WeightIsLimitedOnBothSides) {
  EncodingOptions options = Plain(1);
  options.max_weight = 2;
  options.lane = LaneBits::k16;
  const UpdateEncoder encoder = Encoder(options);
  FixedDraws up(0);
  EXPECT_THAT(encoder.Encode({.values = {0.5f}, .weight = 0}, up)->ring, Each(0u));
  EXPECT_THAT(encoder.Encode({.values = {0.5f}, .weight = 2}, up)->ring, ElementsAre(50u, 327u));
  for (const double bad : {-1e-9, std::nextafter(2.0, 3.0), kNan}) {
    EXPECT_THAT(encoder.Encode({.values = {0.5f}, .weight = bad}, up),
                HasStatus(StatusCode::kInvalidArgument, "weight: expected a number in [0, 2"));
  }
}

TEST(UpdateEncoderTest, GroupsThatWereNotTrainedCountNothing) {
  EncodingOptions options = Plain(4);
  options.groups = {{1, 0}, {1, 1}, {1, 0}, {1, 1}};
  const UpdateEncoder encoder = Encoder(options);
  FixedDraws down(0xff);
  const auto small = encoder.Encode({.values = {0.5f, 0, 0.5f, 0}, .trained_groups = 0b01}, down);
  ASSERT_THAT(small, IsOk());
  const auto unit = static_cast<uint32_t>(ShareUnit(options));
  EXPECT_THAT(small->ring, ElementsAre(50u, 0u, 50u, 0u, unit, 0u));
  const auto whole = encoder.Encode({.values = {0, 0.5f, 0, -0.25f}}, down);
  ASSERT_THAT(whole, IsOk());
  RingVector sum = small->ring;
  AddToSum(whole->ring, sum);
  const auto decoded = encoder.Decode(sum, 2);
  ASSERT_THAT(decoded, IsOk());
  EXPECT_THAT(decoded->mean, ElementsAre(0.25f, 0.5f, 0.25f, -0.25f));
  EXPECT_THAT(decoded->group_weights, ElementsAre(2, 1));
  EXPECT_EQ(decoded->total_weight, 2);
  EXPECT_THAT(encoder.Decode(small->ring, 1)->mean, ElementsAre(0.5f, 0, 0.5f, 0));
}

TEST(UpdateEncoderTest, RefusesValuesOfGroupsThatWereNotTrained) {
  EncodingOptions options = Plain(4);
  options.groups = {{2, 0}, {2, 1}};
  const UpdateEncoder encoder = Encoder(options);
  FixedDraws down(0xff);
  EXPECT_THAT(encoder.Encode({.values = {0, 0, 0, 1e-9f}, .trained_groups = 0b01}, down),
              HasStatus(StatusCode::kInvalidArgument, "value 3 is not zero though its group 1 was not trained"));
  for (const uint64_t none : {0b00u, 0b100u}) {
    EXPECT_THAT(encoder.Encode({.values = std::vector<float>(4), .trained_groups = none}, down),
                HasStatus(StatusCode::kInvalidArgument, "no group was trained"));
  }
}

TEST(UpdateEncoderTest, RoundingHasNoBiasThroughRotation) {
  EncodingOptions options = Rotated(7);
  options.lane = LaneBits::k16;
  options.max_inputs = 4096;  // 6 steps for 1
  const UpdateEncoder encoder = Encoder(options);
  SplitMix64 random(5);
  const std::vector<float> values = {0.3f, -0.1f, 0.05f, 0, 0.2f, -0.4f, 0.01f};
  std::vector<double> sum(values.size());
  constexpr int kTrials = 20'000;
  for (int trial = 0; trial < kTrials; ++trial) {
    const auto encoded = encoder.Encode({.values = values}, random);
    const auto decoded = encoder.Decode(encoded->ring, 1);
    for (size_t i = 0; i < values.size(); ++i) sum[i] += decoded->mean[i];
  }
  // An element's deviation is at most half a step, a rotated one's too: five deviations of the mean.
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(sum[i] / kTrials, values[i], 5 * 0.5 / 6 / std::sqrt(kTrials));
}

// Property: whatever lane, weights, groups and rotation, a sum decodes to the weighted means within the header's bound.
TEST(UpdateEncoderTest, SumsDecodeToTheWeightedMeans) {
  for (uint64_t seed = 0; seed < 120; ++seed) {
    SplitMix64 random(seed);
    EncodingOptions options = {.values = 30 + random.Below(200)};
    options.lane = kAllLaneBits[random.Below(3)];
    options.max_weight = 1 + 100 * random.NextUnit();
    options.clip_norm = 0.1 + 10 * random.NextUnit();
    options.max_inputs = static_cast<uint32_t>(20 + random.Below(80));
    if (random.Below(4) != 0) random.Fill(options.rotation.emplace());
    const bool two_groups = random.Below(2) == 0;
    if (two_groups) options.groups = {{10, 1}, {options.values - 20, 0}, {10, 1}};
    const UpdateEncoder encoder = Encoder(options);
    const auto in_group_one = [&](size_t i) { return two_groups && (i < 10 || i >= options.values - 10); };

    const auto inputs = static_cast<uint32_t>(1 + random.Below(options.max_inputs));
    std::vector<double> expected(options.values);
    double shares[2] = {};
    double peaks = 0;
    double clipped = 0;
    RingVector sum(encoder.ring_length());
    for (uint32_t n = 0; n < inputs; ++n) {
      const bool small = two_groups && n % 3 == 1;
      std::vector<float> values(options.values);
      for (size_t i = 0; i < values.size(); ++i) {
        if (!(small && in_group_one(i)))
          values[i] = static_cast<float>(0.5 * options.clip_norm * (random.NextUnit() - 0.5));
      }
      const double share = 0.2 + 0.8 * random.NextUnit();
      const auto encoded = encoder.Encode(
          {.values = values, .weight = share * options.max_weight, .trained_groups = small ? 0b01u : UINT64_MAX},
          random);
      ASSERT_THAT(encoded, IsOk());
      ASSERT_EQ(encoded->clamped, 0u);
      peaks += encoded->peak;
      clipped += encoded->clipped ? 1 : 0;
      const double shrink = encoded->clipped ? options.clip_norm / encoded->norm : 1;
      for (size_t i = 0; i < values.size(); ++i) expected[i] += share * shrink * double{values[i]};
      shares[0] += share;
      shares[1] += small ? 0 : share;
      AddToSum(*UnpackLanes(PackLanes(encoded->ring, options.lane), options.lane, encoder.ring_length()), sum);
    }

    const auto decoded = encoder.Decode(sum, inputs);
    ASSERT_THAT(decoded, IsOk());
    const double unit_error = inputs / static_cast<double>(ShareUnit(options));
    for (const int group : {0, 1}) {
      if (group == 1 && !two_groups) continue;
      std::vector<double> mean;
      std::vector<double> error;
      for (size_t i = 0; i < expected.size(); ++i) {
        if (in_group_one(i) != (group == 1)) continue;
        mean.push_back(expected[i] / shares[group]);
        error.push_back(decoded->mean[i] - mean.back());
      }
      const auto d = static_cast<double>(options.values);
      const double rounding = inputs * std::sqrt(d) / StepsPerUnit(options);
      const double bound = (rounding + Norm(mean) * unit_error) / (shares[group] - unit_error);
      ASSERT_LE(Norm(error), bound + 1e-5 * options.clip_norm) << seed;
      EXPECT_NEAR(decoded->group_weights[static_cast<size_t>(group)], shares[group] * options.max_weight,
                  unit_error * options.max_weight);
    }
    const double telemetry_error = 1 / static_cast<double>(ShareUnit(options));
    EXPECT_EQ(decoded->telemetry->clamped_share, 0);
    EXPECT_DOUBLE_EQ(decoded->telemetry->clipped_devices_share, clipped / inputs);
    EXPECT_NEAR(decoded->telemetry->mean_peak_share, peaks / inputs, telemetry_error);
  }
}

// The bound without worst cases: the deviation that the header states, over many coordinates.
TEST(UpdateEncoderTest, RoundingErrorHasTheStatedDeviation) {
  EncodingOptions options = Rotated(50'000);
  options.lane = LaneBits::k16;
  options.max_inputs = 64;
  const UpdateEncoder encoder = Encoder(options);
  SplitMix64 random(8);
  RingVector sum(encoder.ring_length());
  std::vector<double> expected(options.values);
  for (int n = 0; n < 64; ++n) {
    std::vector<float> values(options.values);
    for (float& value : values) value = static_cast<float>((random.NextUnit() - 0.5) / 100);
    for (size_t i = 0; i < values.size(); ++i) expected[i] += double{values[i]} / 64;
    AddToSum(encoder.Encode({.values = std::move(values)}, random)->ring, sum);
  }
  const auto decoded = encoder.Decode(sum, 64);
  double squares = 0;
  for (size_t i = 0; i < expected.size(); ++i) squares += std::pow(decoded->mean[i] - expected[i], 2);
  const double deviation = std::sqrt(squares / 50'000);
  const double stated = std::sqrt(64) / (2 * StepsPerUnit(options) * 64);
  EXPECT_LE(deviation, stated);
  EXPECT_GE(deviation, 0.7 * stated);  // uniform fractions have sqrt(2/3) of the worst case
}

TEST(UpdateEncoderTest, AFullCohortAtTheLimitDoesNotWrap) {
  for (const LaneBits lane : kAllLaneBits) {
    for (const uint32_t inputs : {1u, 3u, 8u, 1000u, 4096u}) {
      EncodingOptions options = {.values = 1, .clip_norm = 3, .lane = lane, .max_inputs = inputs};
      const UpdateEncoder encoder = Encoder(options);
      FixedDraws up(0);
      for (const float value : {1e30f, -1e30f, 3.0f, -3.0f}) {
        const auto encoded = encoder.Encode({.values = {value}}, up);
        ASSERT_THAT(encoded, IsOk());
        RingVector sum(encoder.ring_length());
        for (uint32_t n = 0; n < inputs; ++n) AddToSum(encoded->ring, sum);
        const auto decoded = encoder.Decode(sum, inputs);
        ASSERT_THAT(decoded, IsOk());
        EXPECT_NEAR(decoded->mean[0], value > 0 ? 3 : -3, 1 / StepsPerUnit(options) + 1e-6);
        EXPECT_DOUBLE_EQ(decoded->total_weight, inputs);
        EXPECT_DOUBLE_EQ(decoded->telemetry->mean_peak_share, 1);
      }
    }
  }
}

TEST(UpdateEncoderTest, DecodeRefusesWeightsThatCannotBe) {
  EncodingOptions options = Plain(1);
  options.lane = LaneBits::k16;  // a share is 327 steps
  const UpdateEncoder encoder = Encoder(options);
  EXPECT_THAT(encoder.Decode(RingVector{1, 0}, 1), HasStatus(StatusCode::kInvalidArgument, "must be above 0"));
  EXPECT_THAT(encoder.Decode(RingVector{1, 0xffff}, 1), HasStatus(StatusCode::kInvalidArgument, "0 to 1 max_weight"));
  EXPECT_THAT(encoder.Decode(RingVector{1, 2 * 327}, 2), IsOk());
  EXPECT_THAT(encoder.Decode(RingVector{1, 2 * 327 + 1}, 2),
              HasStatus(StatusCode::kInvalidArgument, "0 to 2 max_weight"));
  // Bits above the lane mean nothing.
  const auto decoded = encoder.Decode(RingVector{0xabcd0000 + 50, 0x12340000 + 327}, 1);
  ASSERT_THAT(decoded, IsOk());
  EXPECT_THAT(decoded->mean, ElementsAre(0.5f));
  EXPECT_FALSE(decoded->telemetry.has_value());
}

TEST(UpdateEncoderDeathTest, DecodeRefusesOtherSizesAndCounts) {
  const UpdateEncoder encoder = Encoder(Plain(1));
  EXPECT_DEATH((void)encoder.Decode(RingVector(3), 1), "ring_length_");
  EXPECT_DEATH((void)encoder.Decode(RingVector(2), 0), "counted");
  EXPECT_DEATH((void)encoder.Decode(RingVector(2), 101), "counted");
}

// Devices and coordinators of any make must agree on these bytes; they may never change.
TEST(UpdateEncoderTest, BytesAreFrozen) {
  EncodingOptions options = Rotated(11);
  options.lane = LaneBits::k24;
  options.max_weight = 4;
  options.groups = {{8, 0}, {3, 1}};
  std::vector<float> values(11);
  SplitMix64 random(1);
  for (size_t i = 0; i < 8; ++i) values[i] = static_cast<float>(random.NextUnit() - 0.5);
  const auto encoded =
      Encoder(options).Encode({.values = std::move(values), .weight = 3, .trained_groups = 0b01}, random);
  ASSERT_THAT(encoded, IsOk());
  EXPECT_EQ(ToHex(PackLanes(encoded->ring, options.lane)),
            "28feff74f3ffc10000d1eaff5b3800d8f5ff9b91ff340900bd56003b1400fdafffc3f500000000000000000000329300");
}

}  // namespace
}  // namespace fleetune
