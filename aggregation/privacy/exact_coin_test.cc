#include "aggregation/privacy/exact_coin.h"

#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

constexpr int kTosses = 200'000;

// The share of heads, and 5 standard deviations around what it should be.
template <typename Toss>
void ExpectShare(double probability, Toss toss) {
  int heads = 0;
  for (int i = 0; i < kTosses; ++i) heads += toss() ? 1 : 0;
  const double deviation = std::sqrt(probability * (1 - probability) / kTosses);
  EXPECT_NEAR(static_cast<double>(heads) / kTosses, probability, 5 * deviation + 1e-12);
}

// Serves the same words over and over.
class FixedWords final : public RandomSource {
 public:
  explicit FixedWords(std::vector<uint64_t> words) : words_(std::move(words)) {}
  void Fill(std::span<uint8_t> bytes) override {
    for (size_t i = 0; i < bytes.size(); ++i) {
      bytes[i] = static_cast<uint8_t>(words_[i / 8 % words_.size()] >> (8 * (i % 8)));
    }
  }

 private:
  std::vector<uint64_t> words_;
};

constexpr Uint128 Fraction(double value) { return static_cast<Uint128>(static_cast<uint64_t>(value * 0x1p63)) << 65; }

TEST(WideFixedPointTest, MultipliesToTheLastBit) {
  const Uint128 all = ~static_cast<Uint128>(0);
  EXPECT_TRUE(MultiplyHigh(all, all) == all - 1);  // (2^128 - 1)^2 = 2^256 - 2^129 + 1
  EXPECT_TRUE(MultiplyHigh(all, 1) == 0);
  EXPECT_TRUE(MultiplyHigh(all, 2) == 1);
  EXPECT_TRUE(MultiplyHigh(static_cast<Uint128>(1) << 64, static_cast<Uint128>(1) << 64) == 1);
  EXPECT_TRUE(MultiplyHigh((static_cast<Uint128>(1) << 64) - 1, static_cast<Uint128>(1) << 64) == 0);
}

TEST(WideFixedPointTest, DividesToTheLastBit) {
  const Uint128 all = ~static_cast<Uint128>(0);
  EXPECT_TRUE(FractionOf(1, 3) == all / 3);
  EXPECT_TRUE(FractionOf(1, 2) == static_cast<Uint128>(1) << 127);
  EXPECT_TRUE(FractionOf(0, 7) == 0);
  EXPECT_TRUE(FractionOf(all - 1, all) == all - 1);
}

TEST(ExactCoinTest, CoinComparesAllOf128Bits) {
  FixedWords words({5, 9});
  RandomWords first(words);
  EXPECT_TRUE(Coin((static_cast<Uint128>(5) << 64) + 10, first));
  RandomWords second(words);
  EXPECT_FALSE(Coin((static_cast<Uint128>(5) << 64) + 9, second));
  RandomWords third(words);
  EXPECT_TRUE(Coin(static_cast<Uint128>(6) << 64, third));
  EXPECT_EQ(third.Next(), 9u);  // the high word decided, so the second was not drawn
}

TEST(ExactCoinTest, FallsAsOftenAsItShould) {
  SplitMix64 source(11);
  RandomWords words(source);
  ExpectShare(std::exp(-1), [&] { return CoinExpMinusOne(words); });
  for (const double x : {0.0, 0.01, 0.3, 0.75, 0.999}) {
    ExpectShare(x, [&] { return Coin(Fraction(x), words); });
    ExpectShare(std::exp(-x), [&] { return CoinExpMinus(Fraction(x), words); });
  }
}

TEST(RandomWordsTest, BelowIsUniformAndBounded) {
  SplitMix64 source(12);
  RandomWords words(source);
  int counts[7] = {};
  for (int i = 0; i < 70'000; ++i) {
    const uint64_t value = words.Below(7);
    ASSERT_LT(value, 7u);
    ++counts[value];
  }
  for (const int count : counts) EXPECT_NEAR(count, 10'000, 5 * std::sqrt(10'000));
  EXPECT_EQ(words.Below(1), 0u);
}

}  // namespace
}  // namespace fleetune
