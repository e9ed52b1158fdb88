#include "aggregation/privacy/skellam_density.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

Uint128 Join(uint64_t high, uint64_t low) { return static_cast<Uint128>(high) << 64 | low; }

Uint128 Distance(Uint128 a, Uint128 b) { return a > b ? a - b : b - a; }

// floor(2^116 * ln(I_0(variance) / I_k(variance))), from Bessel functions in 400 bits; those of the variances over
// 2^20, which no general routine reaches, from the same expansion with two terms more in 1 / variance.
struct Golden {
  uint64_t variance, k, high, low;
};
constexpr Golden kGolden[] = {
    {262144, 512, 0x80000d5557ddd, 0xe7d7c83f30ad9f14},
    {262144, 2048, 0x7fffe5556cddc2, 0x85a0616b627d3b06},
    {262144, 8191, 0x7ff565facf7d472, 0xbd7f24cf78fbdc68},
    {300001, 1000, 0x1aaaa622c3b2ea, 0x325e0c82261b0081},
    {1073754169, 100000, 0x4a81445c5f51d6, 0x7da0ca7be5cf34b9},
    {1099511627776, 1048576, 0x8000000000355, 0x55555557dddddddd},
    {1099511627776, 16777215, 0x7ffffefff595d57, 0xf831338b5d39cc78},
};

TEST(SkellamDensityTest, AgreesWithBesselFunctionsOf400Bits) {
  for (const Golden& golden : kGolden) {
    const SkellamDensity density(golden.variance);
    const Uint128 drop = density.LogDrop(golden.k);
    const bool central = golden.k * golden.k <= 16 * golden.variance;
    const Uint128 allowed = static_cast<Uint128>(1) << (SkellamDensity::kFractionBits - (central ? 100 : 96));
    EXPECT_TRUE(Distance(drop, Join(golden.high, golden.low)) < allowed)
        << golden.variance << " " << golden.k << " off by 2^-116 * "
        << static_cast<double>(Distance(drop, Join(golden.high, golden.low)));
  }
}

TEST(SkellamDensityTest, GrowsFromZeroToTheEndOfWhatItCovers) {
  for (const uint64_t variance : {SkellamDensity::kMinVariance, SkellamDensity::kMaxVariance}) {
    const SkellamDensity density(variance);
    EXPECT_TRUE(density.LogDrop(0) == 0);
    uint64_t k = 0;
    Uint128 before = 0;
    for (; density.Covers(k + 1 + k / 8); k += 1 + k / 8) {
      const Uint128 drop = density.LogDrop(k + 1 + k / 8);
      ASSERT_TRUE(drop > before) << variance << " " << k;
      before = drop;
    }
  }
  const SkellamDensity smallest(SkellamDensity::kMinVariance);
  EXPECT_TRUE(smallest.Covers(16 * 512 - 1));
  EXPECT_FALSE(smallest.Covers(16 * 512));
  EXPECT_FALSE(smallest.Covers(uint64_t{1} << 32));  // whose square would wrap around
  EXPECT_FALSE(smallest.Covers(UINT64_MAX));
}

}  // namespace
}  // namespace fleetune
