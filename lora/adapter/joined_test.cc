#include "lora/adapter/joined.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

BaseSizes Base(uint32_t layers = 2) {
  BaseSizes base{.layers = layers};
  for (ProjectionSizes& sizes : base.projections) sizes = {.in = 6, .out = 8};
  base.projections[static_cast<size_t>(Projection::kDown)] = {.in = 9, .out = 6};
  return base;
}

Adapter Some(const AdapterSpec::Options& options, uint64_t seed, const BaseSizes& base = Base()) {
  AdapterSpec spec = *AdapterSpec::Create(options, base);
  SplitMix64 random(seed);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  std::vector<float> a = DeriveA(spec, seed);
  return *Adapter::Create(std::move(spec), std::move(a), std::move(b));
}

// What an adapter adds to the output of one of its modules, in double.
std::vector<double> Added(const Adapter& adapter, uint32_t layer, Projection projection, std::span<const double> x) {
  const LoraModule* module = adapter.spec().Find(layer, projection);
  if (module == nullptr) return std::vector<double>(Base().projections[static_cast<size_t>(projection)].out);
  std::vector<double> y(module->out);
  for (uint32_t rank = 0; rank < adapter.spec().rank(); ++rank) {
    double z = 0;
    for (uint32_t i = 0; i < module->in; ++i) z += double{adapter.a(*module)[rank * module->in + i]} * x[i];
    for (uint32_t o = 0; o < module->out; ++o) {
      y[o] += double{adapter.spec().scale()} * double{adapter.b(*module)[rank * module->out + o]} * z;
    }
  }
  return y;
}

const AdapterSpec::Options kFleet = {
    .rank = 3, .alpha = 0.7f, .targets = {Projection::kQ, Projection::kV, Projection::kDown}};
const AdapterSpec::Options kPersonal = {
    .rank = 2, .alpha = 5, .targets = {Projection::kQ, Projection::kV, Projection::kDown}};

TEST(JoinedTest, AddsWhatBothAdd) {
  AdapterSpec::Options others = kPersonal;
  others.targets = {Projection::kUp, Projection::kV};  // one of the fleet's, and one of its own
  SplitMix64 random(4);
  for (const AdapterSpec::Options& options : {kPersonal, others}) {
    const Adapter fleet = Some(kFleet, 1), personal = Some(options, 2);
    const auto joined = Joined(personal, fleet);
    ASSERT_THAT(joined, IsOk());
    EXPECT_EQ(joined->spec().rank(), 5u);
    for (const LoraModule& module : joined->spec().modules()) {
      std::vector<double> x(module.in);
      for (double& value : x) value = random.NextUnit() - 0.5;
      const auto one = Added(fleet, module.layer, module.projection, x);
      const auto other = Added(personal, module.layer, module.projection, x);
      const auto both = Added(*joined, module.layer, module.projection, x);
      for (size_t i = 0; i < both.size(); ++i) {
        // Two roundings to f32: of the scale, and of each value of the fleet's B.
        EXPECT_NEAR(both[i], one[i] + other[i], 3e-7 * (std::abs(one[i]) + std::abs(other[i])) + 1e-6) << i;
      }
    }
  }
}

TEST(JoinedTest, WhatIsAboveKeepsItsBitsThereAndBack) {
  const Adapter fleet = Some(kFleet, 1), personal = Some(kPersonal, 2);
  const Adapter joined = *Joined(personal, fleet);
  EXPECT_FLOAT_EQ(joined.spec().scale(), personal.spec().scale());
  const auto back = AboveOf(joined, personal.spec());
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(back->spec(), personal.spec());
  EXPECT_TRUE(std::ranges::equal(back->a(), personal.a()));
  EXPECT_TRUE(std::ranges::equal(back->b(), personal.b()));
}

// So what is below is frozen by training the first ranks alone.
TEST(JoinedTest, RanksOfWhatIsAboveComeFirst) {
  const Adapter fleet = Some(kFleet, 1), personal = Some(kPersonal, 2);
  const Adapter joined = *Joined(personal, fleet);
  for (const LoraModule& module : joined.spec().modules()) {
    const LoraModule& below = *fleet.spec().Find(module.layer, module.projection);
    EXPECT_TRUE(std::ranges::equal(joined.a(module).last(fleet.a(below).size()), fleet.a(below)));
  }
}

TEST(JoinedTest, OfOneScaleNothingIsRounded) {
  AdapterSpec::Options options = kPersonal;
  options.alpha = 4;
  const Adapter personal = Some(options, 2);
  options.rank = 4;
  options.alpha = 8;
  const Adapter fleet = Some(options, 1);
  const Adapter joined = *Joined(personal, fleet);
  EXPECT_EQ(joined.spec().scale(), 2);
  const LoraModule& module = joined.spec().modules().back();
  EXPECT_TRUE(std::ranges::equal(joined.b(module).last(fleet.b(fleet.spec().modules().back()).size()),
                                 fleet.b(fleet.spec().modules().back())));
}

// By training alone: B of a new adapter is zero.
TEST(JoinedTest, ANewAdapterOnTopChangesNothing) {
  const Adapter fleet = Some(kFleet, 1);
  const Adapter joined = *Joined(Adapter::Initial(*AdapterSpec::Create(kPersonal, Base()), 9), fleet);
  const std::vector<double> x = {1, -2, 3, 0.5, 0.25, -1};
  const auto one = Added(fleet, 1, Projection::kV, x), both = Added(joined, 1, Projection::kV, x);
  for (size_t i = 0; i < both.size(); ++i) EXPECT_NEAR(both[i], one[i], 1e-6);
}

TEST(JoinedTest, WhatDoesNotFitIsRefused) {
  constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
  const Adapter fleet = Some(kFleet, 1);
  EXPECT_THAT(Joined(Some(kPersonal, 2, Base(3)), fleet), HasStatus(kInvalid, "3 layers"));
  BaseSizes wider = Base();
  wider.projections[static_cast<size_t>(Projection::kGate)].out = 9;
  EXPECT_THAT(Joined(Some(kPersonal, 2, wider), fleet), HasStatus(kInvalid, "sizes of gate differ"));
  AdapterSpec::Options large = kPersonal;
  large.rank = kMaxAdapterRank - 2;
  EXPECT_THAT(Joined(Some(large, 2), fleet), HasStatus(kInvalid, "at most 256 ranks"));
  large.rank = kMaxAdapterRank - 3;
  EXPECT_THAT(Joined(Some(large, 2), fleet), IsOk());
  AdapterSpec::Options faint = kPersonal;
  faint.alpha = 1e-44f;  // the fleet's B would be beyond f32
  EXPECT_THAT(Joined(Some(faint, 2), fleet), HasStatus(kInvalid, "finite"));
  EXPECT_THAT(AboveOf(fleet, Some(large, 2).spec()), HasStatus(kInvalid, "rank 3 holds none of rank 253"));
  AdapterSpec::Options other = kPersonal;
  other.targets = {Projection::kGate};
  EXPECT_THAT(AboveOf(fleet, Some(other, 2).spec()), HasStatus(kInvalid, "does not change gate"));
}

}  // namespace
}  // namespace fleetune
