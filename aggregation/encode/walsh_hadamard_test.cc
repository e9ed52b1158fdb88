#include "aggregation/encode/walsh_hadamard.h"

#include <bit>
#include <cmath>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using testing::ElementsAre;

// The definition, row by row, in double.
std::vector<double> ByDefinition(const std::vector<float>& x) {
  std::vector<double> result(x.size());
  for (size_t i = 0; i < x.size(); ++i) {
    for (size_t j = 0; j < x.size(); ++j) result[i] += std::popcount(i & j) % 2 == 0 ? x[j] : -x[j];
  }
  return result;
}

std::vector<float> Uniform(size_t size, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(2 * random.NextUnit() - 1);
  return values;
}

TEST(WalshHadamardTest, IsTheMatrixOfPopcounts) {
  for (size_t size = 1; size <= 4096; size *= 2) {
    std::vector<float> x = Uniform(size, size);
    const std::vector<double> expected = ByDefinition(x);
    WalshHadamard(x);
    // A tree of log2(size) additions of numbers up to 1: each rounds by 2^-24 of a partial sum.
    const double error = static_cast<double>(size) * 12 * 0x1p-24 + 1e-7;
    for (size_t i = 0; i < size; ++i) ASSERT_NEAR(x[i], expected[i], error) << size << " " << i;
  }
}

TEST(WalshHadamardTest, SmallOnesAreExact) {
  std::vector<float> four = {1, 2, 3, 4};
  WalshHadamard(four);
  EXPECT_THAT(four, ElementsAre(10, -2, -4, 0));
}

// Beyond one block of cache the transform recurses: every column must still be a character of the group.
TEST(WalshHadamardTest, LargeOnesAreExactOnSpikes) {
  for (const size_t size : {8192u, 16384u, 65536u, 131072u}) {
    for (const size_t spike : {size_t{0}, size_t{1}, size / 2 + 37, size - 1}) {
      std::vector<float> x(size);
      x[spike] = 3;
      WalshHadamard(x);
      for (size_t i = 0; i < size; ++i) ASSERT_EQ(x[i], std::popcount(i & spike) % 2 == 0 ? 3 : -3) << size << " " << i;
    }
  }
}

TEST(WalshHadamardTest, TwiceIsTheSize) {
  const std::vector<float> before = Uniform(32768, 9);
  std::vector<float> x = before;
  WalshHadamard(x);
  WalshHadamard(x);
  for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i] / 32768, before[i], 1e-5);
}

TEST(WalshHadamardDeathTest, RefusesSizesThatAreNoPowersOfTwo) {
  std::vector<float> three(3);
  EXPECT_DEATH(WalshHadamard(three), "has_single_bit");
  EXPECT_DEATH(WalshHadamard({}), "has_single_bit");
}

}  // namespace
}  // namespace fleetune
