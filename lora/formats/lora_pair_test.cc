#include "lora/formats/lora_pair.h"

#include <cmath>
#include <limits>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/small_adapter.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

std::vector<float> RandomFloats(size_t count, SplitMix64& random) {
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(random.NextUnit() - 0.5);
  return values;
}

LoraPair RandomPair(uint32_t layer, Projection projection, uint32_t rank, float alpha, uint64_t seed = 1) {
  const ProjectionSizes sizes = SmallBase().sizes.projections[static_cast<size_t>(projection)];
  SplitMix64 random(seed);
  return {.layer = layer,
          .projection = projection,
          .rank = rank,
          .alpha = alpha,
          .a = RandomFloats(rank * sizes.in, random),
          .b = RandomFloats(rank * sizes.out, random),
          .magnitude = {}};
}

// scale * B A, out x in, in double.
std::vector<double> Product(const LoraPair& pair) {
  const size_t out = pair.b.size() / pair.rank;
  const size_t in = pair.a.size() / pair.rank;
  std::vector<double> product(out * in);
  for (size_t row = 0; row < out; ++row) {
    for (size_t j = 0; j < pair.rank; ++j) {
      for (size_t column = 0; column < in; ++column) {
        product[row * in + column] += pair.scale() * static_cast<double>(pair.b[row * pair.rank + j]) *
                                      static_cast<double>(pair.a[j * in + column]);
      }
    }
  }
  return product;
}

TEST(LoraPairTest, OneRankAndAlphaKeepEveryBit) {
  const Adapter adapter = RandomAdapter(SmallBase());
  const auto again = AssembleAdapter(SplitAdapter(adapter), SmallBase().sizes);
  ASSERT_THAT(again, IsOk());
  EXPECT_TRUE(again->spec() == adapter.spec());
  EXPECT_THAT(again->a(), ElementsAreArray(adapter.a()));
  EXPECT_THAT(again->b(), ElementsAreArray(adapter.b()));
}

TEST(LoraPairTest, BOfAPairIsOutByRank) {
  BaseSizes base{.layers = 1};
  base.projections[0] = {.in = 1, .out = 3};
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kQ}}, base);
  const Adapter adapter = *Adapter::Create(spec, {1, 2}, {10, 11, 12, 20, 21, 22});
  EXPECT_THAT(SplitAdapter(adapter).front().b, testing::ElementsAre(10, 20, 11, 21, 12, 22));
}

TEST(LoraPairTest, RanksAndAlphasOfTheirOwnKeepTheProduct) {
  const std::vector<LoraPair> pairs = {RandomPair(0, Projection::kQ, 3, 5, 1), RandomPair(1, Projection::kQ, 1, 0.3f, 2),
                                       RandomPair(0, Projection::kDown, 5, 7, 3),
                                       RandomPair(1, Projection::kDown, 5, 1e-4f, 4)};
  const auto adapter = AssembleAdapter(pairs, SmallBase().sizes);
  ASSERT_THAT(adapter, IsOk());
  EXPECT_EQ(adapter->spec().rank(), 5u);
  EXPECT_EQ(adapter->spec().alpha(), 7.0f);
  for (const LoraPair& one : SplitAdapter(*adapter)) {
    const auto original = std::ranges::find_if(
        pairs, [&](const LoraPair& p) { return p.layer == one.layer && p.projection == one.projection; });
    const std::vector<double> expected = Product(*original);
    const std::vector<double> got = Product(one);
    const double largest = std::abs(*std::ranges::max_element(expected, {}, [](double x) { return std::abs(x); }));
    for (size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(got[i], expected[i], 5 * 0x1p-24 * largest);
    }
  }
}

TEST(LoraPairTest, PowersOfTwoAreNotRounded) {
  const LoraPair small = RandomPair(1, Projection::kQ, 2, 16);
  const auto adapter = AssembleAdapter({RandomPair(0, Projection::kQ, 4, 16), small}, SmallBase().sizes);
  ASSERT_THAT(adapter, IsOk());
  const LoraPair padded = SplitAdapter(*adapter)[1];
  for (size_t row = 0; row < 8; ++row) {
    EXPECT_EQ(padded.b[row * 4], 2 * small.b[row * 2]);
    EXPECT_EQ(padded.b[row * 4 + 1], 2 * small.b[row * 2 + 1]);
    EXPECT_EQ(padded.b[row * 4 + 2], 0);
    EXPECT_EQ(padded.b[row * 4 + 3], 0);
  }
  EXPECT_THAT(std::span(padded.a).subspan(2 * 6), Each(0.0f));
}

TEST(LoraPairTest, ALayerWithoutTheModuleIsZero) {
  const auto adapter = AssembleAdapter({RandomPair(1, Projection::kUp, 2, 4)}, SmallBase().sizes);
  ASSERT_THAT(adapter, IsOk());
  EXPECT_THAT(adapter->a(*adapter->spec().Find(0, Projection::kUp)), Each(0.0f));
  EXPECT_THAT(adapter->b(*adapter->spec().Find(0, Projection::kUp)), Each(0.0f));
}

// Of a smaller rank and another scale, which change nothing about its rows; a layer that is left out has no magnitudes.
TEST(LoraPairTest, MagnitudesGoWithTheirModules) {
  LoraPair small = RandomPair(1, Projection::kK, 2, 3);
  small.magnitude = {1, 0, 3, 4};
  LoraPair large = RandomPair(0, Projection::kUp, 4, 8);
  large.magnitude = {8, 7, 6, 5, 4, 3, 2, 1};
  const auto adapter = AssembleAdapter({small, large}, SmallBase().sizes);
  ASSERT_THAT(adapter, IsOk());
  EXPECT_TRUE(adapter->spec().dora());
  const auto of = [&adapter](uint32_t layer, Projection projection) {
    return adapter->magnitudes(*adapter->spec().Find(layer, projection));
  };
  EXPECT_THAT(of(1, Projection::kK), ElementsAre(1, 0, 3, 4));
  EXPECT_THAT(of(0, Projection::kUp), ElementsAre(8, 7, 6, 5, 4, 3, 2, 1));
  EXPECT_THAT(of(0, Projection::kK), IsEmpty());
  const std::vector<LoraPair> pairs = SplitAdapter(*adapter);
  ASSERT_EQ(pairs.size(), 4u);
  EXPECT_THAT(pairs[0].magnitude, IsEmpty());  // k of layer 0
  EXPECT_EQ(pairs[1].magnitude, large.magnitude);
  EXPECT_EQ(pairs[2].magnitude, small.magnitude);
}

TEST(LoraPairTest, RefusesWhatNoAdapterCanHold) {
  const BaseSizes base = SmallBase().sizes;
  EXPECT_THAT(AssembleAdapter({}, base), HasStatus(StatusCode::kInvalidArgument, "targets"));
  for (const float alpha : {0.0f, -1.0f, std::numeric_limits<float>::infinity(), std::nanf("")}) {
    EXPECT_THAT(AssembleAdapter({RandomPair(1, Projection::kK, 2, alpha)}, base),
                HasStatus(StatusCode::kInvalidArgument, "k in layer 1: expected an alpha above 0"));
  }
  LoraPair pair = RandomPair(0, Projection::kQ, 2, 4);
  pair.magnitude.resize(8, 0);
  EXPECT_THAT(AssembleAdapter({pair}, base),
              HasStatus(StatusCode::kInvalidArgument, "q in layer 0 is DoRA whose magnitudes are all zero"));
  pair.magnitude.clear();
  pair.b[3] = std::nanf("");
  EXPECT_THAT(AssembleAdapter({pair}, base), HasStatus(StatusCode::kInvalidArgument, "finite"));
  // Too large for f32 once the scale is the other's.
  pair.b[3] = 1e30f;
  EXPECT_THAT(AssembleAdapter({RandomPair(1, Projection::kQ, 2, 1e-30f), pair}, base),
              HasStatus(StatusCode::kInvalidArgument, "finite"));
}

}  // namespace
}  // namespace fleetune
