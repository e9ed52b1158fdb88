#include "base/random.h"

#include <array>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using ::testing::ElementsAre;

// Gives the numbers that it was told to.
class ScriptedRandom final : public RandomSource {
 public:
  explicit ScriptedRandom(std::vector<uint64_t> numbers) : numbers_(std::move(numbers)) {}
  void Fill(std::span<uint8_t> bytes) override {
    ASSERT_EQ(bytes.size(), 8u);
    ASSERT_LT(next_, numbers_.size());
    for (size_t i = 0; i < 8; ++i) bytes[i] = static_cast<uint8_t>(numbers_[next_] >> (8 * i));
    ++next_;
  }
  size_t used() const { return next_; }

 private:
  std::vector<uint64_t> numbers_;
  size_t next_ = 0;
};

// From the reference implementation (https://prng.di.unimi.it/splitmix64.c) with seed 1234567.
TEST(SplitMix64Test, GivesThePublishedSequence) {
  SplitMix64 random(1234567);
  EXPECT_EQ(random.Next(), 6457827717110365317u);
  EXPECT_EQ(random.Next(), 3203168211198807973u);
  EXPECT_EQ(random.Next(), 9817491932198370423u);
  EXPECT_EQ(random.Next(), 4593380528125082431u);
  EXPECT_EQ(random.Next(), 16408922859458223821u);
}

TEST(SplitMix64Test, FillIsLittleEndianAndTakesAWholeNumberForTheRest) {
  SplitMix64 random(1234567);
  std::array<uint8_t, 11> bytes;
  random.Fill(bytes);
  SplitMix64 numbers(1234567);
  const uint64_t first = numbers.Next();
  const uint64_t second = numbers.Next();
  for (size_t i = 0; i < 8; ++i) EXPECT_EQ(bytes[i], static_cast<uint8_t>(first >> (8 * i)));
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(bytes[8 + i], static_cast<uint8_t>(second >> (8 * i)));
  EXPECT_EQ(random.Next(), numbers.Next());
}

TEST(SplitMix64Test, UnitIsInRange) {
  SplitMix64 random(1);
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double unit = random.NextUnit();
    ASSERT_GE(unit, 0.0);
    ASSERT_LT(unit, 1.0);
    sum += unit;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 0.02);
}

TEST(RandomSourceTest, NextU64IsLittleEndian) {
  ScriptedRandom random({0x0102030405060708u});
  EXPECT_EQ(random.NextU64(), 0x0102030405060708u);
}

TEST(RandomSourceTest, BelowDrawsAgainWhereValuesWouldBeUneven) {
  // 2^64 - 1 is a multiple of 3: only the largest value is refused.
  ScriptedRandom random({UINT64_MAX, UINT64_MAX - 1});
  EXPECT_EQ(random.Below(3), (UINT64_MAX - 1) % 3);
  EXPECT_EQ(random.used(), 2u);
}

TEST(RandomSourceTest, BelowCoversItsLimits) {
  ScriptedRandom random({7, 0, UINT64_MAX - 1});
  EXPECT_EQ(random.Below(1), 0u);
  EXPECT_EQ(random.Below(UINT64_MAX), 0u);
  EXPECT_EQ(random.Below(UINT64_MAX), UINT64_MAX - 1);
}

TEST(RandomSourceTest, BelowIsAboutUniform) {
  SplitMix64 random(7);
  std::array<int, 5> counts{};
  for (int i = 0; i < 10000; ++i) ++counts[random.Below(5)];
  for (int count : counts) EXPECT_NEAR(count, 2000, 200);
}

}  // namespace
}  // namespace fleetune
