#include "gtest/gtest.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

BaseSizes SmallBase() {
  BaseSizes base{.layers = 2};
  for (ProjectionSizes& sizes : base.projections) sizes = {.in = 3, .out = 2};
  return base;
}

Adapter WithB(const AdapterSpec::Options& options, const BaseSizes& base, float last) {
  const AdapterSpec spec = *AdapterSpec::Create(options, base);
  std::vector<float> b(spec.b_size(), 0.5f);
  b.back() = last;
  return *Adapter::Create(spec, DeriveA(spec, 1), b);
}

const AdapterSpec::Options kOptions = {
    .rank = 1, .alpha = 2, .targets = {Projection::kQ, Projection::kV}};

// Two programs that disagree on this hash cannot exchange versions.
TEST(AdapterHashTest, Golden) {
  EXPECT_EQ(AdapterHash(WithB(kOptions, SmallBase(), 1), 7).ToHex(), 
            "e2050d3ba2fc44ae690bc6e1099dc2b9f3fca79eda444128c4d4378562afc9ea");
}

TEST(AdapterHashTest, DependsOnEveryPart) {
  const Digest hash = AdapterHash(WithB(kOptions, SmallBase(), 1), 7);
  EXPECT_EQ(hash, AdapterHash(WithB(kOptions, SmallBase(), 1), 7));
  EXPECT_NE(hash, AdapterHash(WithB(kOptions, SmallBase(), 1), 8));
  EXPECT_NE(hash, AdapterHash(WithB(kOptions, SmallBase(), 1.0000001f), 7));
  AdapterSpec::Options options = kOptions;
  options.alpha = 3;
  EXPECT_NE(hash, AdapterHash(WithB(options, SmallBase(), 1), 7));
  options = kOptions;
  options.targets = {Projection::kQ, Projection::kK};
  EXPECT_NE(hash, AdapterHash(WithB(options, SmallBase(), 1), 7));
  BaseSizes base = SmallBase();
  base.projections[0].in = 4;
  EXPECT_NE(hash, AdapterHash(WithB(kOptions, base, 1), 7));
}

TEST(AdapterHashTest, TellsTheTwoZerosApart) {
  EXPECT_NE(AdapterHash(WithB(kOptions, SmallBase(), 0.0f), 7),
            AdapterHash(WithB(kOptions, SmallBase(), -0.0f), 7));
}

}  // namespace
}  // namespace fleetune
