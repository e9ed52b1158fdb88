#include "aggregation/encode/fixed_point.h"

#include <cmath>
#include <limits>

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

int32_t Signed(uint32_t element) { return static_cast<int32_t>(element); }

TEST(FixedPointOptionsTest, FieldsAreLimitedOnBothSides) {
  EXPECT_THAT(Validate(FixedPointOptions{}), IsOk());
  const double tiny = std::numeric_limits<double>::denorm_min();
  EXPECT_THAT(Validate({.clip_norm = tiny}), IsOk());
  EXPECT_THAT(Validate({.clip_norm = 1e6, .fraction_bits = 1, .max_inputs = 1000}), IsOk());
  for (const double bad : {0.0, -1.0, std::nextafter(1e6, 2e6), kNan}) {
    EXPECT_THAT(Validate({.clip_norm = bad, .fraction_bits = 1, .max_inputs = 1}),
                HasStatus(StatusCode::kInvalidArgument, "clip_norm"));
    EXPECT_THAT(Validate({.max_weight = bad}), HasStatus(StatusCode::kInvalidArgument, "max_weight"));
  }
  for (const double good : {tiny, 1e6}) EXPECT_THAT(Validate({.max_weight = good}), IsOk());
  EXPECT_THAT(Validate({.fraction_bits = 1}), IsOk());
  EXPECT_THAT(Validate({.fraction_bits = 28, .max_inputs = 7}), IsOk());
  for (const uint32_t bad : {0u, 29u}) {
    EXPECT_THAT(Validate({.fraction_bits = bad, .max_inputs = 1}),
                HasStatus(StatusCode::kInvalidArgument, "fraction_bits: expected 1 to 28"));
  }
  for (const uint32_t good : {1u, kMaxSummedInputs}) EXPECT_THAT(Validate({.max_inputs = good}), IsOk());
  for (const uint32_t bad : {0u, kMaxSummedInputs + 1}) {
    EXPECT_THAT(Validate({.max_inputs = bad}), HasStatus(StatusCode::kInvalidArgument, "max_inputs"));
  }
}

TEST(FixedPointOptionsTest, ASumThatCouldWrapIsRefusedWithTheBitsThatWouldDo) {
  // 7 * (2^28 + 1) < 2^31, 8 * (2^28 + 1) is not.
  EXPECT_THAT(Validate({.fraction_bits = 28, .max_inputs = 7}), IsOk());
  EXPECT_THAT(Validate({.fraction_bits = 28, .max_inputs = 8}),
              HasStatus(StatusCode::kInvalidArgument, "fraction_bits = 27 would do"));
  // The clip norm counts once it is above 1, the weight's own element.
  EXPECT_THAT(Validate({.clip_norm = 8, .fraction_bits = 24, .max_inputs = 15}), IsOk());
  EXPECT_THAT(Validate({.clip_norm = 8, .fraction_bits = 24, .max_inputs = 16}),
              HasStatus(StatusCode::kInvalidArgument, "fraction_bits = 23 would do"));
  EXPECT_THAT(Validate({.clip_norm = 0.25, .fraction_bits = 28, .max_inputs = 8}),
              HasStatus(StatusCode::kInvalidArgument, "27"));
  EXPECT_THAT(Validate({.clip_norm = 1e6, .fraction_bits = 1, .max_inputs = 4096}),
              HasStatus(StatusCode::kInvalidArgument, "no fraction_bits would do"));
}

TEST(EncodeUpdateTest, ScalesWeightsAndAppendsTheWeight) {
  FixedDraws random(0xff);
  const std::vector<float> values = {0.5f, -0.25f, 0, -0.0f};
  const auto encoded = EncodeUpdate(values, 3, {.clip_norm = 1, .fraction_bits = 8, .max_weight = 4}, random);
  ASSERT_THAT(encoded, IsOk());
  EXPECT_THAT(encoded->ring, ElementsAre(96u, static_cast<uint32_t>(-48), 0u, 0u, 192u));
  EXPECT_FALSE(encoded->clipped);
  EXPECT_DOUBLE_EQ(encoded->norm, std::sqrt(0.3125));
  EXPECT_EQ(random.filled(), 4 * encoded->ring.size());
}

TEST(EncodeUpdateTest, ClipsTheWholeVectorToTheNorm) {
  FixedDraws random(0xff);
  const std::vector<float> values = {3, -4};
  const FixedPointOptions options = {.clip_norm = 2.5, .fraction_bits = 4};
  const auto encoded = EncodeUpdate(values, 1, options, random);
  ASSERT_THAT(encoded, IsOk());
  EXPECT_TRUE(encoded->clipped);
  EXPECT_EQ(encoded->norm, 5);
  EXPECT_THAT(encoded->ring, ElementsAre(24u, static_cast<uint32_t>(-32), 16u));
  // Exactly at the norm nothing is clipped; a little above it is.
  const std::vector<float> at = {2.5f};
  EXPECT_FALSE(EncodeUpdate(at, 1, options, random)->clipped);
  const std::vector<float> above = {std::nextafter(2.5f, 3.0f)};
  EXPECT_TRUE(EncodeUpdate(above, 1, options, random)->clipped);
}

TEST(EncodeUpdateTest, HugeAndTinyValuesKeepTheirNorm) {
  FixedDraws random(0xff);
  const std::vector<float> huge(4, std::numeric_limits<float>::max());
  const auto encoded = EncodeUpdate(huge, 1, {}, random);
  ASSERT_THAT(encoded, IsOk());
  EXPECT_TRUE(encoded->clipped);
  EXPECT_NEAR(Signed(encoded->ring[0]), 32768, 1);
  const std::vector<float> tiny(4, std::numeric_limits<float>::denorm_min());
  EXPECT_THAT(EncodeUpdate(tiny, 1, {}, random)->ring, ElementsAre(0u, 0u, 0u, 0u, 65536u));
}

TEST(EncodeUpdateTest, RefusesValuesThatAreNotFinite) {
  FixedDraws random(0);
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(EncodeUpdate(std::vector<float>{1, bad, bad}, 1, {}, random),
                HasStatus(StatusCode::kInvalidArgument, "value 1 is not finite"));
  }
}

TEST(EncodeUpdateTest, WeightIsLimitedOnBothSides) {
  FixedDraws random(0xff);
  const std::vector<float> values = {0.5f};
  const FixedPointOptions options = {.max_weight = 2};
  EXPECT_THAT(EncodeUpdate(values, 0, options, random)->ring, Each(0u));
  EXPECT_EQ(EncodeUpdate(values, 2, options, random)->ring.back(), 65536u);
  for (const double bad : {-1e-9, std::nextafter(2.0, 3.0), kNan}) {
    EXPECT_THAT(EncodeUpdate(values, bad, options, random), HasStatus(StatusCode::kInvalidArgument, "weight"));
  }
}

TEST(EncodeUpdateTest, RoundsToTheTwoNeighboursOnly) {
  const std::vector<float> values = {0.3f, -0.3f, 0.25f, -0.75f};
  const FixedPointOptions options = {.fraction_bits = 2};
  FixedDraws up(0);
  FixedDraws down(0xff);
  EXPECT_THAT(EncodeUpdate(values, 1, options, up)->ring,
              ElementsAre(2u, static_cast<uint32_t>(-1), 1u, static_cast<uint32_t>(-3), 4u));
  EXPECT_THAT(EncodeUpdate(values, 1, options, down)->ring,
              ElementsAre(1u, static_cast<uint32_t>(-2), 1u, static_cast<uint32_t>(-3), 4u));
}

TEST(EncodeUpdateTest, RoundingHasNoBias) {
  SplitMix64 random(5);
  const float value = 0.3f;  // 1.2 steps of 1/4
  const int trials = 200'000;
  double sum = 0;
  for (int i = 0; i < trials; ++i) {
    const auto encoded = EncodeUpdate({&value, 1}, 1, {.fraction_bits = 2}, random);
    sum += Signed(encoded->ring[0]);
  }
  // The deviation of one draw is 0.4: five deviations of the mean.
  EXPECT_NEAR(sum / trials, 4 * double{value}, 5 * 0.4 / std::sqrt(trials));
}

TEST(EncodeUpdateTest, BulkDrawsDoNotRepeatOverManyValues) {
  SplitMix64 random(6);
  const std::vector<float> values(3 * 4096 + 5, 0.5f / 256);
  const auto encoded = EncodeUpdate(values, 1, {.clip_norm = 10, .fraction_bits = 8}, random);
  ASSERT_THAT(encoded, IsOk());
  double ups = 0;
  int equal_to_previous_block = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    ups += encoded->ring[i];
    if (i >= 4096) equal_to_previous_block += encoded->ring[i] == encoded->ring[i - 4096];
  }
  EXPECT_NEAR(ups / static_cast<double>(values.size()), 0.5, 0.03);
  EXPECT_NEAR(equal_to_previous_block / 8197.0, 0.5, 0.03);
}

// Property: the sum of n encoded vectors decodes to the weighted mean, within one step an input.
TEST(FixedPointTest, SumsDecodeToTheWeightedMean) {
  for (uint64_t seed = 0; seed < 100; ++seed) {
    SplitMix64 random(seed);
    FixedPointOptions options;
    options.fraction_bits = static_cast<uint32_t>(8 + random.Below(10));
    options.max_weight = 1 + 100 * random.NextUnit();
    const size_t inputs = 1 + random.Below(40);
    const size_t size = 1 + random.Below(50);
    std::vector<double> expected(size);
    double total = 0;
    RingVector sum(size + 1);
    for (size_t n = 0; n < inputs; ++n) {
      std::vector<float> values(size);
      for (float& value : values) value = static_cast<float>((2 * random.NextUnit() - 1) / 8);
      const double weight = options.max_weight * (0.2 + 0.8 * random.NextUnit());
      const auto encoded = EncodeUpdate(values, weight, options, random);
      ASSERT_THAT(encoded, IsOk());
      const double shrink = encoded->clipped ? options.clip_norm / encoded->norm : 1;
      for (size_t i = 0; i < size; ++i) expected[i] += weight * shrink * double{values[i]};
      total += weight;
      AddToSum(encoded->ring, sum);
    }
    const auto decoded = DecodeMean(sum, options);
    ASSERT_THAT(decoded, IsOk());
    const double steps = static_cast<double>(inputs) * std::ldexp(1.0, -static_cast<int>(options.fraction_bits));
    EXPECT_NEAR(decoded->total_weight, total, steps * options.max_weight);
    // Numerator and denominator are each off by at most `steps`, in units of max_weight; |mean| <= 1.
    const double tolerance = 2 * steps / (total / options.max_weight - steps) + 1e-6;
    for (size_t i = 0; i < size; ++i) {
      ASSERT_NEAR(decoded->mean[i], expected[i] / total, tolerance) << seed;
    }
  }
}

TEST(FixedPointTest, AFullCohortAtTheLimitDoesNotWrap) {
  const FixedPointOptions options = {.clip_norm = 3, .fraction_bits = 17};
  ASSERT_THAT(Validate(options), IsOk());
  FixedDraws up(0);
  for (const float value : {1e30f, -1e30f, 3.0f, -3.0f}) {
    const auto encoded = EncodeUpdate({&value, 1}, 1, options, up);
    ASSERT_THAT(encoded, IsOk());
    RingVector sum(2);
    for (uint32_t n = 0; n < kMaxSummedInputs; ++n) AddToSum(encoded->ring, sum);
    const auto decoded = DecodeMean(sum, options);
    ASSERT_THAT(decoded, IsOk());
    EXPECT_NEAR(decoded->mean[0], value > 0 ? 3 : -3, 0x1p-17);
    EXPECT_EQ(decoded->total_weight, kMaxSummedInputs);
  }
}

TEST(DecodeMeanTest, RefusesATotalWeightThatIsNotPositive) {
  EXPECT_THAT(DecodeMean(RingVector{1, 0}, {}), HasStatus(StatusCode::kInvalidArgument, "total weight"));
  EXPECT_THAT(DecodeMean(RingVector{1, 0xffffffffu}, {}), HasStatus(StatusCode::kInvalidArgument, "total weight"));
  EXPECT_THAT(DecodeMean(RingVector{1, 1}, {})->mean, ElementsAre(1.0f));
}

TEST(PackRingTest, IsLittleEndianAndComesBack) {
  const RingVector ring = {1, 0x04030201u, 0xffffffffu};
  const std::vector<uint8_t> bytes = PackRing(ring);
  EXPECT_THAT(bytes, ElementsAre(1, 0, 0, 0, 1, 2, 3, 4, 255, 255, 255, 255));
  EXPECT_THAT(*UnpackRing(bytes, 3), testing::ElementsAreArray(ring));
  EXPECT_THAT(*UnpackRing({}, 0), testing::IsEmpty());
}

TEST(PackRingTest, RefusesEveryOtherSize) {
  const std::vector<uint8_t> bytes(16);
  for (size_t size = 0; size <= bytes.size(); ++size) {
    const auto ring = UnpackRing(std::span(bytes).first(size), 3);
    if (size == 12) {
      EXPECT_THAT(ring, IsOk());
    } else {
      EXPECT_THAT(ring, HasStatus(StatusCode::kDataLoss, "expected 3 ring elements"));
    }
  }
  EXPECT_THAT(UnpackRing({}, uint64_t{1} << 62), HasStatus(StatusCode::kDataLoss, ""));
}

}  // namespace
}  // namespace fleetune
