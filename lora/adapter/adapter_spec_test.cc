#include "lora/adapter/adapter_spec.h"

#include <limits>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

BaseSizes TwoLayers() {
  BaseSizes base{.layers = 2};
  for (ProjectionSizes& sizes : base.projections) sizes = {.in = 8, .out = 4};
  base.projections[static_cast<size_t>(Projection::kDown)] = {.in = 12, .out = 8};
  return base;
}

AdapterSpec::Options RankTwo() {
  return {.rank = 2, .alpha = 4, .targets = {Projection::kDown, Projection::kQ}};
}

TEST(AdapterSpecTest, OrdersModulesByLayerThenProjection) {
  const auto spec = AdapterSpec::Create(RankTwo(), TwoLayers());
  ASSERT_THAT(spec, IsOk());
  EXPECT_THAT(spec->targets(), testing::ElementsAre(Projection::kQ, Projection::kDown));
  const std::vector<LoraModule> expected = {
      {.layer = 0, .projection = Projection::kQ, .in = 8, .out = 4, .a_offset = 0, .b_offset = 0},
      {.layer = 0, .projection = Projection::kDown, .in = 12, .out = 8, .a_offset = 16, .b_offset = 8},
      {.layer = 1, .projection = Projection::kQ, .in = 8, .out = 4, .a_offset = 40, .b_offset = 24},
      {.layer = 1, .projection = Projection::kDown, .in = 12, .out = 8, .a_offset = 56, .b_offset = 32}};
  EXPECT_EQ(spec->modules(), expected);
  EXPECT_EQ(spec->a_size(), 80u);
  EXPECT_EQ(spec->b_size(), 48u);
  EXPECT_EQ(spec->scale(), 2.0f);
}

TEST(AdapterSpecTest, FindsTargetsOnly) {
  const auto spec = AdapterSpec::Create(RankTwo(), TwoLayers());
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->Find(1, Projection::kDown), &spec->modules()[3]);
  EXPECT_EQ(spec->Find(1, Projection::kV), nullptr);
  EXPECT_EQ(spec->Find(2, Projection::kQ), nullptr);
}

TEST(AdapterSpecTest, RankIsLimitedOnBothSides) {
  AdapterSpec::Options options = RankTwo();
  for (const uint32_t rank : {1u, kMaxAdapterRank}) {
    options.rank = rank;
    EXPECT_THAT(AdapterSpec::Create(options, TwoLayers()), IsOk());
  }
  for (const uint32_t rank : {0u, kMaxAdapterRank + 1}) {
    options.rank = rank;
    EXPECT_THAT(AdapterSpec::Create(options, TwoLayers()),
                HasStatus(StatusCode::kInvalidArgument, "rank"));
  }
}

TEST(AdapterSpecTest, AlphaIsFiniteAndPositive) {
  AdapterSpec::Options options = RankTwo();
  for (const float alpha : {0.0f, -1.0f, std::numeric_limits<float>::infinity(),
                            std::numeric_limits<float>::quiet_NaN()}) {
    options.alpha = alpha;
    EXPECT_THAT(AdapterSpec::Create(options, TwoLayers()),
                HasStatus(StatusCode::kInvalidArgument, "alpha"));
  }
}

TEST(AdapterSpecTest, RefusesTargetsThatAreMissingOrDouble) {
  AdapterSpec::Options options = RankTwo();
  options.targets = {};
  EXPECT_THAT(AdapterSpec::Create(options, TwoLayers()),
              HasStatus(StatusCode::kInvalidArgument, "at least one"));
  options.targets = {Projection::kQ, Projection::kV, Projection::kQ};
  EXPECT_THAT(AdapterSpec::Create(options, TwoLayers()),
              HasStatus(StatusCode::kInvalidArgument, "q is named twice"));
  options.targets = {static_cast<Projection>(7)};
  EXPECT_THAT(AdapterSpec::Create(options, TwoLayers()),
              HasStatus(StatusCode::kInvalidArgument, "7"));
}

TEST(AdapterSpecTest, RefusesBaseSizesOutOfRange) {
  for (const uint32_t layers : {0u, kMaxAdapterLayers + 1}) {
    BaseSizes base = TwoLayers();
    base.layers = layers;
    EXPECT_THAT(AdapterSpec::Create(RankTwo(), base),
                HasStatus(StatusCode::kInvalidArgument, "layers"));
  }
  for (const uint32_t features : {0u, kMaxAdapterFeatures + 1}) {
    BaseSizes base = TwoLayers();
    base.projections[0].in = features;
    EXPECT_THAT(AdapterSpec::Create(RankTwo(), base),
                HasStatus(StatusCode::kInvalidArgument, "q: expected 1 to 262144 input features"));
    base = TwoLayers();
    base.projections[6].out = features;
    EXPECT_THAT(AdapterSpec::Create(RankTwo(), base),
                HasStatus(StatusCode::kInvalidArgument, "down"));
  }
}

TEST(AdapterSpecTest, SizesOfProjectionsThatAreNoTargetsDoNotMatter) {
  BaseSizes base = TwoLayers();
  base.projections[static_cast<size_t>(Projection::kUp)] = {};
  const auto with = AdapterSpec::Create(RankTwo(), TwoLayers());
  const auto without = AdapterSpec::Create(RankTwo(), base);
  ASSERT_THAT(without, IsOk());
  EXPECT_TRUE(*with == *without);
}

TEST(AdapterSpecTest, ParametersAreLimitedOnBothSides) {
  BaseSizes base{.layers = 512};
  base.projections[0] = {.in = 8, .out = 1u << 17};
  AdapterSpec::Options options{.rank = 4, .alpha = 1, .targets = {Projection::kQ}};
  const auto spec = AdapterSpec::Create(options, base);  // 2^9 * 2^2 * 2^17
  ASSERT_THAT(spec, IsOk());
  EXPECT_EQ(spec->b_size(), kMaxAdapterParameters);
  base.projections[0].out += 1;
  EXPECT_THAT(AdapterSpec::Create(options, base),
              HasStatus(StatusCode::kInvalidArgument, "parameters"));
}

TEST(AdapterSpecTest, EqualOnlyIfAllThatMattersIs) {
  const auto spec = AdapterSpec::Create(RankTwo(), TwoLayers());
  AdapterSpec::Options options = RankTwo();
  options.alpha = 5;
  EXPECT_FALSE(*spec == *AdapterSpec::Create(options, TwoLayers()));
  options = RankTwo();
  options.targets = {Projection::kQ};
  EXPECT_FALSE(*spec == *AdapterSpec::Create(options, TwoLayers()));
  BaseSizes base = TwoLayers();
  base.projections[0].in = 9;
  EXPECT_FALSE(*spec == *AdapterSpec::Create(RankTwo(), base));
}

TEST(ProjectionTest, NamesAreTheirInverse) {
  for (uint8_t i = 0; i < kNumProjections; ++i) {
    const auto projection = static_cast<Projection>(i);
    EXPECT_EQ(ProjectionFromName(ProjectionName(projection)), projection);
  }
  EXPECT_EQ(ProjectionFromName("Q"), std::nullopt);
  EXPECT_EQ(ProjectionFromName(""), std::nullopt);
}

}  // namespace
}  // namespace fleetune
