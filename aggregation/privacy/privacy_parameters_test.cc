#include "aggregation/privacy/privacy_parameters.h"

#include <cmath>
#include <limits>

#include "aggregation/privacy/rdp_accountant.h"
#include "aggregation/privacy/skellam_sampler.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr CellShape kPaperCell = {.devices = 1024, .adversarial_share = 0, .dropout_share = 0, .dimension = 1 << 20};
constexpr CellShape kUsualCell = {.devices = 1000, .dimension = 1'000'000};

TEST(PrivacyParametersTest, PublishedEpsilonsOf16And20Bits) {
  const auto narrow = PlanSkellamIn({}, kPaperCell, 16, 4);
  const auto wide = PlanSkellamIn({}, kPaperCell, 20, 4);
  ASSERT_THAT(narrow, IsOk());
  ASSERT_THAT(wide, IsOk());
  EXPECT_NEAR(narrow->gaussian_epsilon, 5.222, 5e-4);
  EXPECT_NEAR(narrow->epsilon, 5.246, 5e-4);
  EXPECT_NEAR(wide->epsilon, 5.223, 5e-4);
  EXPECT_NEAR(narrow->scale, 5792.6077, 1e-3);
  EXPECT_NEAR(wide->scale, 92681.8993, 1e-3);
}

TEST(PrivacyParametersTest, NoiseIsSharedAmongThoseWhoCount) {
  const DifferentialPrivacy privacy = {.clip_norm = 0.5, .noise_multiplier = 1.2};
  const auto plan = PlanSkellam(privacy, kUsualCell);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->counted_devices, 800u);
  const double sigma = 1.2 * 0.5 * plan->scale / std::sqrt(800);
  EXPECT_GE(static_cast<double>(plan->device_variance), sigma * sigma);
  EXPECT_LT(static_cast<double>(plan->device_variance), sigma * sigma + 1.001);
  EXPECT_EQ(plan->release.variance, 800.0 * static_cast<double>(plan->device_variance));
  EXPECT_EQ(plan->release.sensitivity.l2, RoundedSensitivity(plan->scale * 0.5, kUsualCell.dimension).l2);
  EXPECT_EQ(plan->release.sampling_rate, 1);
  EXPECT_EQ(plan->epsilon, EpsilonOfSkellam(plan->release, 1, privacy.delta)->epsilon);
}

TEST(PrivacyParametersTest, PlanTakesTheNarrowestLaneThatKeepsTheOverhead) {
  double overhead_before = 1;
  int bits_before = 0;
  for (const double overhead : {0.5, 0.01, 0.001, 0.0001}) {
    DifferentialPrivacy privacy = {.rounding_overhead = overhead};
    const auto plan = PlanSkellam(privacy, kPaperCell);
    ASSERT_THAT(plan, IsOk()) << overhead;
    EXPECT_LE(plan->epsilon, plan->gaussian_epsilon * (1 + overhead));
    EXPECT_GE(plan->ring_bits, bits_before);
    EXPECT_LT(overhead, overhead_before);
    overhead_before = overhead;
    bits_before = plan->ring_bits;
    if (plan->ring_bits > 16) {
      // The next narrower lane would not have done, even with the least headroom.
      const auto narrower = PlanSkellamIn(privacy, kPaperCell, plan->ring_bits - 8, kMinHeadroomDeviations);
      EXPECT_TRUE(!narrower.ok() || narrower->epsilon > narrower->gaussian_epsilon * (1 + overhead));
    }
  }
  EXPECT_EQ(PlanSkellam({.rounding_overhead = 0.01}, kPaperCell)->ring_bits, 16);
  EXPECT_EQ(PlanSkellam({.rounding_overhead = 0.001}, kPaperCell)->ring_bits, 24);
  EXPECT_EQ(PlanSkellam({.rounding_overhead = 0.001}, kPaperCell)->headroom_deviations, kMaxHeadroomDeviations);
}

TEST(PrivacyParametersTest, WhatIsPlannedFitsTheRingAndTheSampler) {
  for (const uint32_t devices : {5u, 100u, 4096u}) {
    for (const uint64_t dimension : {1ull, 1000ull, 10'000'000ull}) {
      for (const int bits : {16, 24, 32}) {
        const CellShape shape = {.devices = devices, .dimension = dimension};
        const auto plan = PlanSkellamIn({.noise_multiplier = 0.8}, shape, bits, 4);
        ASSERT_THAT(plan, IsOk());
        EXPECT_LE(plan->device_variance, kMaxSkellamVariance);
        const double pull = devices * plan->scale / std::sqrt(static_cast<double>(dimension));
        const double spread = devices * (0.25 + static_cast<double>(plan->device_variance));
        EXPECT_LE(4 * std::sqrt(pull * pull + spread), std::ldexp(1.0, bits - 1) * (1 + 1e-2)) << devices;
      }
    }
  }
}

TEST(PrivacyParametersTest, CellsOfAllSizesShareAScaleAndCostTheSame) {
  const DifferentialPrivacy privacy = {.clip_norm = 0.5, .noise_multiplier = 1.2};
  const CellShape shape = {.devices = 1000, .dimension = 1'000'000, .fewest_devices = 20};
  const auto plan = PlanSkellamInLane(privacy, shape, 24);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->ring_bits, 24);
  EXPECT_LE(plan->epsilon, plan->gaussian_epsilon * (1 + privacy.rounding_overhead));
  EXPECT_EQ(plan->epsilon, EpsilonOfSkellam(plan->release, 1, privacy.delta)->epsilon);
  const double noise = 1.2 * 0.5 * plan->scale;
  EXPECT_NEAR(plan->release.variance, noise * noise, 1e-9 * noise * noise);
  for (const uint32_t devices : {20u, 21u, 33u, 500u, 1000u}) {
    CellShape cell = shape;
    cell.devices = devices;
    const uint64_t each = DeviceVariance(privacy, cell, plan->scale);
    // Of the survivors that a sum must have, whoever is not adversarial: floor(0.1 n) may be.
    const uint32_t honest = FewestSurvivors(cell) - static_cast<uint32_t>(0.1 * devices);
    EXPECT_GE(static_cast<double>(each) * honest, plan->release.variance) << devices;
    EXPECT_LE(each, kMaxSkellamVariance);
  }
}

TEST(PrivacyParametersTest, TheSmallestCellsNoiseFitsTheSampler) {
  const CellShape shape = {.devices = 4096, .dimension = 10'000'000, .fewest_devices = 3};
  const DifferentialPrivacy privacy = {.noise_multiplier = 5};
  const auto plan = PlanSkellamInLane(privacy, shape, 32);
  ASSERT_THAT(plan, IsOk());
  EXPECT_LE(DeviceVariance(privacy, {.devices = 3, .dimension = shape.dimension}, plan->scale), kMaxSkellamVariance);
}

TEST(PrivacyParametersTest, ALaneThatIsTooNarrowIsRefusedWithOneThatWouldDo) {
  const DifferentialPrivacy privacy = {.rounding_overhead = 0.001};
  EXPECT_THAT(PlanSkellamInLane(privacy, kPaperCell, 16),
              HasStatus(StatusCode::kInvalidArgument, "24 bits would do"));
  EXPECT_THAT(PlanSkellamInLane(privacy, kPaperCell, 24), IsOk());
  EXPECT_THAT(PlanSkellamInLane({.noise_multiplier = 1, .device_epsilon_limit = 2}, kPaperCell, 32),
              HasStatus(StatusCode::kInvalidArgument, "noise_multiplier of 2.4"));
}

TEST(PrivacyParametersTest, SurvivorsAreRoundedUp) {
  const auto fewest = [](uint32_t devices, double dropout) {
    return FewestSurvivors({.devices = devices, .dropout_share = dropout, .dimension = 1});
  };
  EXPECT_EQ(fewest(10, 0.1), 9u);
  EXPECT_EQ(fewest(11, 0.1), 10u);
  EXPECT_EQ(fewest(1000, 0.1), 900u);
  EXPECT_EQ(fewest(3, 0.1), 3u);
  EXPECT_EQ(fewest(3, 0), 3u);
  EXPECT_EQ(fewest(1024, 0.2), 820u);
}

TEST(PrivacyParametersTest, NoiseRoundedUpToWholeStepsDoesNotPassForPrivacy) {
  // 4096 devices that pull one coordinate alike leave 16 bits no room for noise below one step.
  const CellShape shape = {.devices = 4096, .dimension = 1};
  const auto narrow = PlanSkellamIn({}, shape, 16, 4);
  EXPECT_EQ(narrow->device_variance, 1u);
  EXPECT_LT(narrow->epsilon, 0.5 * narrow->gaussian_epsilon);  // private, and drowned
  const auto plan = PlanSkellam({}, shape);
  ASSERT_THAT(plan, IsOk());
  EXPECT_EQ(plan->ring_bits, 24);
  EXPECT_LT(std::sqrt(plan->release.variance), 1.01 * plan->scale);
}

TEST(PrivacyParametersTest, ALimitBelowOneCellIsRefusedWithNoiseThatWouldDo) {
  DifferentialPrivacy privacy = {.noise_multiplier = 1, .device_epsilon_limit = 2};
  EXPECT_THAT(Validate(privacy), HasStatus(StatusCode::kInvalidArgument, "noise_multiplier of 2.4"));
  const std::string message(Validate(privacy).message());
  privacy.noise_multiplier = std::stod(message.substr(message.find("noise_multiplier of ") + 20));
  EXPECT_THAT(Validate(privacy), IsOk());
  EXPECT_THAT(PlanSkellam(privacy, kUsualCell), IsOk());
}

TEST(PrivacyParametersTest, AnOverheadThatNoRingReachesIsRefusedWithOneThatWouldDo) {
  // So few integers that their granularity shows: three devices, and the sampler's limit binds.
  DifferentialPrivacy privacy = {.noise_multiplier = 100, .rounding_overhead = 1e-4};
  CellShape shape = {.devices = 4, .adversarial_share = 0.3, .dropout_share = 0.3, .dimension = uint64_t{1} << 28};
  const auto plan = PlanSkellam(privacy, shape);
  ASSERT_THAT(plan, HasStatus(StatusCode::kInvalidArgument, "rounding_overhead allows: "));
  const std::string message(plan.status().message());
  privacy.rounding_overhead = std::stod(message.substr(message.find("allows: ") + 8));
  EXPECT_THAT(PlanSkellam(privacy, shape), IsOk());
}

TEST(PrivacyParametersTest, FieldsAreLimitedOnBothSides) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  struct Case {
    const char* name;
    double DifferentialPrivacy::*field;
    std::vector<double> inside, outside;
  };
  const Case cases[] = {
      {"clip_norm", &DifferentialPrivacy::clip_norm, {1e-9, 1e6}, {0, 1.1e6, nan}},
      {"noise_multiplier", &DifferentialPrivacy::noise_multiplier, {0.7, 100}, {0.04, 101, nan}},
      {"delta", &DifferentialPrivacy::delta, {1e-9, 1e-3}, {0, 2e-3, nan}},
      {"device_epsilon_limit", &DifferentialPrivacy::device_epsilon_limit, {6, 100}, {0, 101, nan}},
      {"rounding_overhead", &DifferentialPrivacy::rounding_overhead, {1e-4, 1}, {0.9e-4, 1.01, nan}},
  };
  for (const Case& c : cases) {
    DifferentialPrivacy privacy = {.device_epsilon_limit = 20};
    for (const double value : c.inside) {
      privacy.*c.field = value;
      EXPECT_THAT(Validate(privacy), IsOk()) << c.name << " " << value;
    }
    for (const double value : c.outside) {
      privacy.*c.field = value;
      EXPECT_THAT(Validate(privacy), HasStatus(StatusCode::kInvalidArgument, c.name));
      EXPECT_THAT(PlanSkellam(privacy, kUsualCell), HasStatus(StatusCode::kInvalidArgument, c.name));
    }
  }
}

TEST(PrivacyParametersTest, CellsAreLimitedOnBothSides) {
  const auto with = [](auto change) {
    CellShape shape = kUsualCell;
    change(shape);
    return Validate(shape);
  };
  EXPECT_THAT(with([](CellShape& s) { s.devices = 4096; }), IsOk());
  EXPECT_THAT(with([](CellShape& s) { s.devices = 4097; }), HasStatus(StatusCode::kInvalidArgument, "devices"));
  EXPECT_THAT(with([](CellShape& s) { s.devices = 3; }), IsOk());
  EXPECT_THAT(with([](CellShape& s) { s.devices = 2; }), HasStatus(StatusCode::kInvalidArgument, "devices"));
  EXPECT_THAT(with([](CellShape& s) { s.adversarial_share = 0.5; }),
              HasStatus(StatusCode::kInvalidArgument, "adversarial_share"));
  EXPECT_THAT(with([](CellShape& s) { s.dropout_share = -0.1; }),
              HasStatus(StatusCode::kInvalidArgument, "dropout_share"));
  EXPECT_THAT(with([](CellShape& s) { s.adversarial_share = s.dropout_share = 0.45; }),
              HasStatus(StatusCode::kInvalidArgument, "adversarial_share + dropout_share"));
  EXPECT_THAT(with([](CellShape& s) { s.dimension = 0; }), HasStatus(StatusCode::kInvalidArgument, "dimension"));
  EXPECT_THAT(with([](CellShape& s) { s.dimension = (1ull << 28) + 1; }),
              HasStatus(StatusCode::kInvalidArgument, "dimension"));
  EXPECT_THAT(with([](CellShape& s) {
                s.devices = 3;
                s.adversarial_share = s.dropout_share = 0.36;
              }),
              HasStatus(StatusCode::kInvalidArgument, "none is sure"));
  EXPECT_THAT(PlanSkellamIn({}, kUsualCell, 7, 4), HasStatus(StatusCode::kInvalidArgument, "ring_bits"));
  EXPECT_THAT(PlanSkellamIn({}, kUsualCell, 33, 4), HasStatus(StatusCode::kInvalidArgument, "ring_bits"));
  EXPECT_THAT(PlanSkellamIn({}, kUsualCell, 16, 0.5), HasStatus(StatusCode::kInvalidArgument, "deviations"));
  EXPECT_THAT(PlanSkellamIn({}, kUsualCell, 8, 16), HasStatus(StatusCode::kInvalidArgument, "rounding"));
}

}  // namespace
}  // namespace fleetune
