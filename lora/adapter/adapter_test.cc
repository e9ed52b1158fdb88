#include "lora/adapter/adapter.h"

#include <bit>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

AdapterSpec SmallSpec() {
  BaseSizes base{.layers = 2};
  base.projections[static_cast<size_t>(Projection::kQ)] = {.in = 2, .out = 3};
  base.projections[static_cast<size_t>(Projection::kV)] = {.in = 5, .out = 4};
  return *AdapterSpec::Create(
      {.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kV}}, base);
}

TEST(AdapterTest, GivesTheRowsOfAModule) {
  const AdapterSpec spec = SmallSpec();
  std::vector<float> a(spec.a_size());
  std::vector<float> b(spec.b_size());
  for (size_t i = 0; i < a.size(); ++i) a[i] = static_cast<float>(i);
  for (size_t i = 0; i < b.size(); ++i) b[i] = static_cast<float>(100 + i);
  const auto adapter = Adapter::Create(spec, a, b);
  ASSERT_THAT(adapter, IsOk());
  const LoraModule& v0 = spec.modules()[1];
  EXPECT_EQ(adapter->a(v0).size(), 10u);
  EXPECT_EQ(adapter->a(v0)[0], 4.0f);
  EXPECT_EQ(adapter->b(v0).size(), 8u);
  EXPECT_EQ(adapter->b(v0)[0], 106.0f);
  EXPECT_EQ(adapter->b(spec.modules()[3]).back(), b.back());
}

TEST(AdapterTest, MagnitudesAreOfDoraAlone) {
  const AdapterSpec plain = SmallSpec();
  const AdapterSpec spec =
      *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = plain.targets(), .dora = true}, plain.base());
  EXPECT_FALSE(plain == spec);
  EXPECT_EQ(plain.magnitudes_size(), 0u);
  EXPECT_EQ(spec.magnitudes_size(), 14u);
  const std::vector<float> a(spec.a_size()), b(spec.b_size());
  std::vector<float> magnitudes = {1, 2, 3, 0, 0, 0, 0, 4, 0, 5, 6, 7, 8, 9};
  const auto adapter = Adapter::Create(spec, a, b, magnitudes);
  ASSERT_THAT(adapter, IsOk());
  const auto of = [&](size_t module) { return adapter->magnitudes(spec.modules()[module]); };
  EXPECT_THAT(of(0), testing::ElementsAre(1, 2, 3));
  EXPECT_THAT(of(1), testing::IsEmpty());  // all zero: plain LoRA
  EXPECT_THAT(of(2), testing::ElementsAre(4, 0, 5));
  EXPECT_THAT(of(3), testing::ElementsAre(6, 7, 8, 9));
  EXPECT_THAT(Adapter::Initial(plain, 1).magnitudes(plain.modules()[0]), testing::IsEmpty());

  EXPECT_THAT(Adapter::Create(plain, a, b, magnitudes),
              HasStatus(StatusCode::kInvalidArgument, "magnitudes: expected 0 values, got 14"));
  EXPECT_THAT(Adapter::Create(spec, a, b),
              HasStatus(StatusCode::kInvalidArgument, "magnitudes: expected 14 values, got 0"));
  magnitudes[13] = std::numeric_limits<float>::infinity();
  EXPECT_THAT(Adapter::Create(spec, a, b, magnitudes),
              HasStatus(StatusCode::kInvalidArgument, "magnitudes: value 13 is not finite"));
}

TEST(AdapterTest, RefusesWrongSizesAndValues) {
  const AdapterSpec spec = SmallSpec();
  const std::vector<float> a(spec.a_size());
  const std::vector<float> b(spec.b_size());
  for (const int change : {-1, 1}) {
    EXPECT_THAT(Adapter::Create(spec, std::vector<float>(a.size() + change), b),
                HasStatus(StatusCode::kInvalidArgument, "A: expected 28 values"));
    EXPECT_THAT(Adapter::Create(spec, a, std::vector<float>(b.size() + change)),
                HasStatus(StatusCode::kInvalidArgument, "B: expected 28 values"));
  }
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          -std::numeric_limits<float>::infinity()}) {
    std::vector<float> changed = b;
    changed[27] = bad;
    EXPECT_THAT(Adapter::Create(spec, a, changed),
                HasStatus(StatusCode::kInvalidArgument, "B: value 27 is not finite"));
    changed = a;
    changed[0] = bad;
    EXPECT_THAT(Adapter::Create(spec, changed, b),
                HasStatus(StatusCode::kInvalidArgument, "A: value 0 is not finite"));
  }
}

TEST(AdapterTest, InitialHasDerivedAAndZeroB) {
  const Adapter adapter = Adapter::Initial(SmallSpec(), 7);
  EXPECT_THAT(adapter.a(), testing::ElementsAreArray(DeriveA(SmallSpec(), 7)));
  EXPECT_THAT(adapter.b(), testing::Each(0.0f));
}

// The generator itself, from its published reference program with seed 1234567.
TEST(DeriveATest, GeneratorMatchesThePublishedVector) {
  SplitMix64 random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317u);
  EXPECT_EQ(random.Next(), 3203168211198807973u);
  EXPECT_EQ(random.Next(), 9817491932198370423u);
  EXPECT_EQ(random.Next(), 4593380528125082431u);
  EXPECT_EQ(random.Next(), 16408922859458223821u);
}

// Bits, not values: a device that derives another A cannot be averaged with the rest.
TEST(DeriveATest, GoldenBits) {
  const std::vector<float> a = DeriveA(SmallSpec(), 42);
  ASSERT_EQ(a.size(), 28u);
  std::vector<uint32_t> bits;
  for (const float value : a) bits.push_back(std::bit_cast<uint32_t>(value));
  const std::vector<uint32_t> first(bits.begin(), bits.begin() + 8);
  EXPECT_THAT(first, testing::ElementsAre(0x3eaee962u, 0xbef6404eu, 0xbea04f57u, 0xbe61a2d3u, 0xbed38ebdu, 0x3ea8a0fau, 0xbe80f496u, 0x3e89ac61u));
}

TEST(DeriveATest, IsUniformWithinItsBounds) {
  BaseSizes base{.layers = 1};
  base.projections[0] = {.in = 1000, .out = 1};
  const AdapterSpec spec =
      *AdapterSpec::Create({.rank = 100, .alpha = 1, .targets = {Projection::kQ}}, base);
  double sum = 0;
  double squares = 0;
  const double bound = 1 / std::sqrt(1000.0);
  for (const float value : DeriveA(spec, 3)) {
    ASSERT_LE(std::abs(value), bound * (1 + 1e-7));
    sum += value;
    squares += double{value} * value;
  }
  const double n = static_cast<double>(spec.a_size());
  // Five standard deviations of the mean, and the variance of a uniform value within 2 %.
  EXPECT_NEAR(sum / n, 0, 5 * bound / std::sqrt(3 * n));
  EXPECT_NEAR(squares / n / (bound * bound / 3), 1, 0.02);
}

TEST(DeriveATest, DependsOnTheSeed) {
  EXPECT_NE(DeriveA(SmallSpec(), 1), DeriveA(SmallSpec(), 2));
}

}  // namespace
}  // namespace fleetune
