#include "aggregation/encode/encoding_options.h"

#include <cmath>
#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

EncodingOptions Options(uint64_t values = 10) { return {.values = values}; }

auto Refuses(const std::string& part) { return HasStatus(StatusCode::kInvalidArgument, part); }

TEST(EncodingOptionsTest, FieldsAreLimitedOnBothSides) {
  EXPECT_THAT(Validate(Options()), IsOk());
  EncodingOptions options = Options();
  for (const uint64_t good : {uint64_t{1}, kMaxEncodedValues}) EXPECT_THAT(Validate(Options(good)), IsOk());
  for (const uint64_t bad : {uint64_t{0}, kMaxEncodedValues + 1}) {
    EXPECT_THAT(Validate(Options(bad)), Refuses("values: expected 1 to"));
  }
  for (const double good : {1e-12, 1e6}) {
    options.clip_norm = good;
    EXPECT_THAT(Validate(options), IsOk());
  }
  for (const double bad : {0.0, -1.0, 9e-13, std::nextafter(1e6, 2e6), kNan}) {
    options.clip_norm = bad;
    EXPECT_THAT(Validate(options), Refuses("clip_norm"));
  }
  options = Options();
  for (const double good : {1e-12, 1e6}) {
    options.max_weight = good;
    EXPECT_THAT(Validate(options), IsOk());
  }
  for (const double bad : {0.0, -1.0, std::nextafter(1e6, 2e6), kNan}) {
    options.max_weight = bad;
    EXPECT_THAT(Validate(options), Refuses("max_weight"));
  }
  options = Options();
  for (const uint32_t good : {1u, kMaxSummedInputs}) {
    options.max_inputs = good;
    EXPECT_THAT(Validate(options), IsOk());
  }
  for (const uint32_t bad : {0u, kMaxSummedInputs + 1}) {
    options.max_inputs = bad;
    EXPECT_THAT(Validate(options), Refuses("max_inputs"));
  }
  options = Options();
  for (const double good : {1.0, 1000.0}) {
    options.range_factor = good;
    EXPECT_THAT(Validate(options), IsOk());
  }
  for (const double bad : {std::nextafter(1.0, 0.0), 1000.5, kNan}) {
    options.range_factor = bad;
    EXPECT_THAT(Validate(options), Refuses("range_factor"));
  }
  options = Options();
  for (const double bad : {-1.0, 2e18, kNan}) {
    options.scale = bad;
    EXPECT_THAT(Validate(options), Refuses("scale"));
  }
  options = Options();
  options.lane = static_cast<LaneBits>(20);
  EXPECT_THAT(Validate(options), Refuses("lane: expected 16, 24 or 32 bits, got 20"));
}

TEST(EncodingOptionsTest, ASumThatCouldWrapIsRefusedWithTheLaneThatWouldDo) {
  EncodingOptions options = Options();
  options.lane = LaneBits::k16;
  options.max_inputs = 8;
  options.scale = 4094;  // 8 * 4095 < 2^15
  EXPECT_THAT(Validate(options), IsOk());
  EXPECT_EQ(MaxSteps(options), 4094);
  options.scale = 4095;  // 8 * 4096 is 2^15
  EXPECT_THAT(Validate(options), Refuses("24 bits would do"));
  options.scale = 4094.01;  // rounds up to 4095 steps
  EXPECT_THAT(Validate(options), Refuses("24 bits would do"));
  options.scale = 0x1p20 - 2;  // 8 * (2^20 - 1) < 2^23
  EXPECT_THAT(Validate(options), Refuses("24 bits would do"));
  options.scale = 0x1p20 - 1;
  EXPECT_THAT(Validate(options), Refuses("32 bits would do"));
  options.scale = 0x1p28 - 2;
  EXPECT_THAT(Validate(options), Refuses("32 bits would do"));
  options.lane = LaneBits::k32;
  EXPECT_THAT(Validate(options), IsOk());
  options.scale = 0x1p28 - 1;
  EXPECT_THAT(Validate(options), Refuses("no lane would do"));
  options.scale = 1e18;
  EXPECT_THAT(Validate(options), Refuses("no lane would do"));
}

TEST(EncodingOptionsTest, ADerivedScaleIsTheLargestThatIsNotRefused) {
  for (const LaneBits lane : kAllLaneBits) {
    for (const uint32_t inputs : {1u, 2u, 3u, 7u, 8u, 100u, 1024u, 4095u, 4096u}) {
      EncodingOptions options = Options();
      options.lane = lane;
      options.max_inputs = inputs;
      ASSERT_THAT(Validate(options), IsOk());
      const int64_t steps = MaxSteps(options);
      ASSERT_GE(steps, 6);
      EXPECT_EQ(StepsPerUnit(options), static_cast<double>(steps));  // the range is 1
      options.scale = static_cast<double>(steps);
      EXPECT_THAT(Validate(options), IsOk()) << inputs;
      options.scale = static_cast<double>(steps + 1);
      EXPECT_THAT(Validate(options), Refuses("would do")) << inputs;
    }
  }
}

TEST(EncodingOptionsTest, WithNoiseASingleValueMustNotWrap) {
  EncodingOptions options = Options();
  options.lane = LaneBits::k16;
  options.wrap_allowed = true;
  EXPECT_THAT(Validate(options), Refuses("scale: must be given"));
  options.scale = 32767;
  EXPECT_THAT(Validate(options), IsOk());
  options.scale = 32768;
  EXPECT_THAT(Validate(options), Refuses("a single input could wrap around; 24 bits would do"));
}

TEST(EncodingOptionsTest, TheRoundedNormIsAtLeastTheScaledClipNorm) {
  EncodingOptions options = Options();
  options.clip_norm = 2;
  options.scale = 100;
  options.rounded_norm_limit = 200;
  EXPECT_THAT(Validate(options), IsOk());
  for (const double bad : {std::nextafter(200.0, 0.0), -1.0, kNan}) {
    options.rounded_norm_limit = bad;
    EXPECT_THAT(Validate(options), Refuses("rounded_norm_limit"));
  }
}

TEST(EncodingOptionsTest, GroupsCoverAllValuesAndHaveNoGaps) {
  EncodingOptions options = Options(10);
  const auto with = [&](std::vector<GroupRun> groups) {
    options.groups = std::move(groups);
    return Validate(options);
  };
  EXPECT_THAT(with({{10, 0}}), IsOk());
  EXPECT_THAT(with({{3, 1}, {4, 0}, {3, 1}}), IsOk());
  EXPECT_EQ(GroupCount(options), 2u);
  EXPECT_EQ(RingLength(options), 10u + 2 + 3);
  options.telemetry = false;
  EXPECT_EQ(RingLength(options), 10u + 2);
  EXPECT_THAT(with({{9, 0}}), Refuses("groups: expected runs that cover 10 values"));
  EXPECT_THAT(with({{11, 0}}), Refuses("groups: expected runs"));
  EXPECT_THAT(with({{10, 0}, {1, 0}}), Refuses("groups: expected runs"));
  EXPECT_THAT(with({{10, 0}, {0, 0}}), Refuses("groups: expected runs"));
  EXPECT_THAT(with({{10, 0}, {UINT64_MAX, 0}}), Refuses("groups: expected runs"));
  EXPECT_THAT(with({{5, 0}, {5, 2}}), Refuses("groups: a number below the highest has no run"));
  EXPECT_THAT(with({{10, 1}}), Refuses("groups: a number below the highest has no run"));
  EXPECT_THAT(with({{10, 64}}), Refuses("groups: expected numbers below 64"));
  options = Options(64);
  std::vector<GroupRun> most;
  for (uint32_t group = 0; group < kMaxGroups; ++group) most.push_back({1, group});
  EXPECT_THAT(with(most), IsOk());
  EXPECT_EQ(GroupCount(options), kMaxGroups);
}

TEST(EncodingOptionsTest, TheRangeNarrowsWithRotation) {
  EncodingOptions options = Options(3600);
  options.clip_norm = 2;
  EXPECT_EQ(CoordinateRange(options), 2);
  options.rotation.emplace();
  EXPECT_DOUBLE_EQ(CoordinateRange(options), 2 * 6 / 60.0);
  options.values = 25;  // 6 / sqrt(25) is above 1
  EXPECT_EQ(CoordinateRange(options), 2);
}

TEST(EncodingOptionsTest, SharesOfAllInputsFitTheRing) {
  EncodingOptions options = Options();
  options.lane = LaneBits::k16;
  EXPECT_EQ(ShareUnit(options), 7);  // 4096 * 7 < 2^15
  options.max_inputs = 1;
  EXPECT_EQ(ShareUnit(options), 32767);
}

}  // namespace
}  // namespace fleetune
