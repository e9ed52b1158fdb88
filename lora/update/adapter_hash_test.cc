#include "gtest/gtest.h"
#include "lora/update/adapter_update.h"

namespace fleetune {
namespace {

BaseSizes SmallBase() {
  BaseSizes base{.layers = 2};
  for (ProjectionSizes& sizes : base.projections) sizes = {.in = 3, .out = 2};
  return base;
}

constexpr uint64_t kSeed = 7;

Adapter WithB(const AdapterSpec::Options& options, const BaseSizes& base, float last) {
  const AdapterSpec spec = *AdapterSpec::Create(options, base);
  std::vector<float> b(spec.b_size(), 0.5f);
  b.back() = last;
  return *Adapter::Create(spec, DeriveA(spec, kSeed), b);
}

Adapter WithA(const Adapter& adapter, float first) {
  std::vector<float> a(adapter.a().begin(), adapter.a().end());
  a.front() = first;
  return *Adapter::Create(adapter.spec(), a, {adapter.b().begin(), adapter.b().end()});
}

const AdapterSpec::Options kOptions = {
    .rank = 1, .alpha = 2, .targets = {Projection::kQ, Projection::kV}};

// Two programs that disagree on this hash cannot exchange versions.
TEST(AdapterHashTest, Golden) {
  EXPECT_EQ(AdapterHash(WithB(kOptions, SmallBase(), 1), kSeed).ToHex(),
            "e2050d3ba2fc44ae690bc6e1099dc2b9f3fca79eda444128c4d4378562afc9ea");
}

TEST(AdapterHashTest, DependsOnEveryPart) {
  const Digest hash = AdapterHash(WithB(kOptions, SmallBase(), 1), kSeed);
  EXPECT_EQ(hash, AdapterHash(WithB(kOptions, SmallBase(), 1), kSeed));
  EXPECT_NE(hash, AdapterHash(WithB(kOptions, SmallBase(), 1), kSeed + 1));
  EXPECT_NE(hash, AdapterHash(WithB(kOptions, SmallBase(), 1.0000001f), kSeed));
  AdapterSpec::Options options = kOptions;
  options.alpha = 3;
  EXPECT_NE(hash, AdapterHash(WithB(options, SmallBase(), 1), kSeed));
  options = kOptions;
  options.targets = {Projection::kQ, Projection::kK};
  EXPECT_NE(hash, AdapterHash(WithB(options, SmallBase(), 1), kSeed));
  BaseSizes base = SmallBase();
  base.projections[0].in = 4;
  EXPECT_NE(hash, AdapterHash(WithB(kOptions, base, 1), kSeed));
}

// The name of a version whose A is the seed's must not depend on how A came to be.
TEST(AdapterHashTest, CoversAUnlessItIsTheSeeds) {
  const Adapter of_seed = WithB(kOptions, SmallBase(), 1);
  EXPECT_TRUE(HasAOfSeed(of_seed, kSeed));
  EXPECT_FALSE(HasAOfSeed(of_seed, kSeed + 1));
  const Adapter other = WithA(of_seed, 0.25f);
  EXPECT_FALSE(HasAOfSeed(other, kSeed));
  EXPECT_NE(AdapterHash(other, kSeed), AdapterHash(of_seed, kSeed));
  EXPECT_NE(AdapterHash(other, kSeed), AdapterHash(WithA(of_seed, 0.25000003f), kSeed));
  EXPECT_NE(AdapterHash(WithA(of_seed, 0.0f), kSeed), AdapterHash(WithA(of_seed, -0.0f), kSeed));
  EXPECT_EQ(AdapterHash(WithA(other, of_seed.a().front()), kSeed), AdapterHash(of_seed, kSeed));
}

TEST(AdapterHashTest, TellsTheTwoZerosApart) {
  EXPECT_NE(AdapterHash(WithB(kOptions, SmallBase(), 0.0f), kSeed),
            AdapterHash(WithB(kOptions, SmallBase(), -0.0f), kSeed));
}

}  // namespace
}  // namespace fleetune
