#include "aggregation/encode/rotation.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

RotationSeed Seed(uint8_t number) {
  RotationSeed seed{};
  seed[0] = number;
  return seed;
}

std::vector<float> Uniform(size_t size, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(2 * random.NextUnit() - 1);
  return values;
}

double Dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

double Norm(std::span<const float> a) { return std::sqrt(Dot(a, a)); }

double Largest(std::span<const float> values) {
  double largest = 0;
  for (const float value : values) largest = std::max(largest, std::abs(double{value}));
  return largest;
}

// The header's bound on the largest coordinate, broken by one vector in a billion.
double FlatnessBound(size_t size) {
  const auto block = static_cast<double>(std::bit_floor(size));
  return std::sqrt(2 * std::log(2 * static_cast<double>(size) / 1e-9) / block);
}

std::vector<size_t> Lengths() {
  std::vector<size_t> lengths(70);
  std::iota(lengths.begin(), lengths.end(), size_t{1});
  SplitMix64 random(3);
  for (int i = 0; i < 20; ++i) lengths.push_back(100 + random.Below(70'000));
  for (const size_t power : {4096u, 32768u}) {
    for (const size_t length : {power - 1, power, power + 1}) lengths.push_back(length);
  }
  return lengths;
}

TEST(RotationTest, KeepsNormsAndAnglesAtEveryLength) {
  for (const size_t length : Lengths()) {
    std::vector<float> x = Uniform(length, length);
    std::vector<float> y = Uniform(length, length + 1);
    const double norm = Norm(x);
    const double dot = Dot(x, y);
    const double scale = norm * Norm(y);
    Rotate(x, Seed(1));
    Rotate(y, Seed(1));
    ASSERT_NEAR(Norm(x), norm, norm * kRotationRelativeError) << length;
    ASSERT_NEAR(Dot(x, y), dot, scale * 2 * kRotationRelativeError) << length;
  }
}

TEST(RotationTest, ComesBackAtEveryLength) {
  for (const size_t length : Lengths()) {
    const std::vector<float> before = Uniform(length, length);
    std::vector<float> x = before;
    Rotate(x, Seed(2));
    RotateBack(x, Seed(2));
    std::vector<float> difference(length);
    for (size_t i = 0; i < length; ++i) difference[i] = x[i] - before[i];
    ASSERT_LE(Norm(difference), 2 * kRotationRelativeError * Norm(before)) << length;
  }
}

TEST(RotationTest, TheEmptyVectorStaysEmptyAndOneNumberKeepsItsSize) {
  std::vector<float> none;
  Rotate(none, Seed(1));
  RotateBack(none, Seed(1));
  EXPECT_TRUE(none.empty());
  std::vector<float> one = {3};
  Rotate(one, Seed(1));
  EXPECT_EQ(std::abs(one[0]), 3);
}

// A spike at both ends of each region: only in the first pass, in both, only in the last.
TEST(RotationTest, SpikesBecomeFlatInEveryRegion) {
  SplitMix64 random(7);
  std::vector<size_t> lengths = {1024, 1025, 1536, 2047, 2048, 65537, 98304, 131071};
  for (int i = 0; i < 30; ++i) lengths.push_back(1000 + random.Below(100'000));
  for (const size_t length : lengths) {
    const size_t block = std::bit_floor(length);
    for (const size_t spike : {size_t{0}, length - block - (length > block), length - block, block - 1,
                               std::min(block, length - 1), length - 1}) {
      std::vector<float> x(length);
      x[spike] = 1;
      Rotate(x, Seed(static_cast<uint8_t>(length)));
      ASSERT_LE(Largest(x), FlatnessBound(length)) << length << " " << spike;
      // Some 2.2 times sqrt(2 ln d / d) at worst, as seen over these lengths.
      const auto d = static_cast<double>(length);
      ASSERT_LE(Largest(x), 2.2 * std::sqrt(2 * std::log(d) / d)) << length << " " << spike;
    }
  }
}

// What training of a few rows leaves behind: most coordinates zero or tiny, some a thousand times larger, in runs.
TEST(RotationTest, SparseUpdatesBecomeFlat) {
  for (uint64_t seed = 0; seed < 40; ++seed) {
    SplitMix64 random(seed);
    const size_t length = 3000 + random.Below(60'000);
    std::vector<float> x(length);
    for (float& value : x) value = static_cast<float>(1e-4 * (2 * random.NextUnit() - 1));
    for (int row = 0; row < 3; ++row) {
      const size_t begin = random.Below(length - 8);
      const auto height = static_cast<float>(random.NextUnit());
      for (size_t i = begin; i < begin + 8; ++i) x[i] += random.Below(2) == 0 ? height : -height;
    }
    const double norm = Norm(x);
    EXPECT_GT(Largest(x) / norm, FlatnessBound(length));  // so the test has teeth
    Rotate(x, Seed(static_cast<uint8_t>(seed)));
    EXPECT_LE(Largest(x) / norm, FlatnessBound(length)) << seed;
  }
}

// Every row of H but the first sums to zero: without random signs a constant would become one spike.
TEST(RotationTest, ConstantsAndCharactersBecomeFlat) {
  for (const size_t length : {4096u, 5000u, 8191u}) {
    for (const size_t character : {size_t{0}, size_t{1}, size_t{1234}}) {
      std::vector<float> x(length);
      for (size_t i = 0; i < length; ++i) x[i] = std::popcount(i & character) % 2 == 0 ? 1.0f : -1.0f;
      const double norm = Norm(x);
      Rotate(x, Seed(3));
      EXPECT_LE(Largest(x) / norm, FlatnessBound(length)) << length;
    }
  }
}

TEST(RotationTest, SeedsDiffer) {
  std::vector<float> x = Uniform(1000, 1);
  std::vector<float> y = x;
  std::vector<float> z = x;
  Rotate(x, Seed(1));
  Rotate(y, Seed(2));
  RotationSeed last{};
  last[31] = 1;
  Rotate(z, last);
  EXPECT_LT(std::abs(Dot(x, y)), 0.2 * Norm(x) * Norm(y));
  EXPECT_LT(std::abs(Dot(x, z)), 0.2 * Norm(x) * Norm(z));
}

// Devices and coordinators of any make must rotate alike; these bits may never change.
TEST(RotationTest, BitsAreFrozen) {
  std::vector<float> x = {1, 2, 3, 4, 5, 6, 7};
  Rotate(x, Seed(1));
  EXPECT_THAT(x, testing::ElementsAre(3, 1, -4, 8, -4, -5, -3));  // also by hand from `openssl enc -aes-256-ctr`
  // Long enough for several pieces of signs and for both kinds of block.
  std::vector<float> y = Uniform(70'001, 5);
  Rotate(y, Seed(1));
  uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a over the bits
  for (const float value : y) hash = (hash ^ std::bit_cast<uint32_t>(value)) * 0x100000001b3u;
  EXPECT_EQ(hash, 13435390709924955389u);
}

}  // namespace
}  // namespace fleetune
