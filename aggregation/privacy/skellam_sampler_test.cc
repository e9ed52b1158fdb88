#include "aggregation/privacy/skellam_sampler.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "aggregation/privacy/exact_coin.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::vector<int64_t> Draws(uint64_t variance, size_t count, uint64_t seed) {
  std::vector<int64_t> values(count);
  SplitMix64 random(seed);
  EXPECT_THAT(AddSkellamNoise(std::span<int64_t>(values), variance, random), IsOk());
  return values;
}

// P[k] from the definition: the sum over n of Poisson(n + k) * Poisson(n), both of mean variance / 2.
double Probability(int64_t k, double variance) {
  const double mean = variance / 2;
  const double shift = static_cast<double>(std::abs(k));
  double sum = 0;
  for (double n = 0; n < mean * 4 + 60; ++n) {
    sum += std::exp(-variance + (2 * n + shift) * std::log(mean) - std::lgamma(n + 1) - std::lgamma(n + shift + 1));
  }
  return sum;
}

// Pearson's statistic over cells joined until each expects 10, minus its mean, in its standard deviations.
double ChiSquareDeviations(const std::vector<double>& observed, const std::vector<double>& expected) {
  std::vector<std::pair<double, double>> cells(1);  // seen, expected
  for (size_t i = 0; i < observed.size(); ++i) {
    if (cells.back().second >= 10) cells.emplace_back();
    cells.back().first += observed[i];
    cells.back().second += expected[i];
  }
  if (cells.back().second < 10) {  // the rest of the upper tail
    const auto rest = cells.back();
    cells.pop_back();
    cells.back().first += rest.first;
    cells.back().second += rest.second;
  }
  double chi = 0;
  for (const auto& [seen, hoped] : cells) chi += (seen - hoped) * (seen - hoped) / hoped;
  const double degrees = static_cast<double>(cells.size()) - 1;
  return (chi - degrees) / std::sqrt(2 * degrees);
}

TEST(SkellamSamplerTest, SmallVariancesFollowTheTrueDistribution) {
  constexpr size_t kCount = 300'000;
  for (const uint64_t variance : {1u, 2u, 3u, 10u, 101u}) {
    const std::vector<int64_t> draws = Draws(variance, kCount, 1000 + variance);
    const auto reach = static_cast<int64_t>(8 * std::sqrt(static_cast<double>(variance)) + 8);
    std::vector<double> observed(static_cast<size_t>(2 * reach + 1)), expected(observed.size());
    for (const int64_t draw : draws) {
      ASSERT_LE(std::abs(draw), reach);
      ++observed[static_cast<size_t>(draw + reach)];
    }
    for (int64_t k = -reach; k <= reach; ++k) {
      expected[static_cast<size_t>(k + reach)] =
          static_cast<double>(kCount) * Probability(k, static_cast<double>(variance));
    }
    EXPECT_LT(ChiSquareDeviations(observed, expected), 4) << variance;
  }
}

TEST(SkellamSamplerTest, LargeVariancesFollowTheNormalCurveCellByCell) {
  // From a variance of 2^18 on the two differ by less than these draws can show (1 / variance).
  constexpr size_t kCount = 400'000;
  for (const uint64_t variance : {(1ull << 18) - 1, 1ull << 18, (1ull << 19) + 7, 1ull << 31, 1ull << 40}) {
    const double sigma = std::sqrt(static_cast<double>(variance));
    const std::vector<int64_t> draws = Draws(variance, kCount, variance);
    constexpr int kCells = 200;  // of 0.05 standard deviations, -5 .. 5
    std::vector<double> observed(kCells), expected(kCells);
    // Edges lie half-way between integers.
    const auto edge = [&](int cell) { return std::round(0.05 * (cell - kCells / 2) * sigma) - 0.5; };
    std::vector<double> edges;
    for (int cell = 0; cell <= kCells; ++cell) edges.push_back(edge(cell));
    for (const int64_t draw : draws) {
      const auto above = std::upper_bound(edges.begin(), edges.end(), static_cast<double>(draw));
      if (above != edges.begin() && above != edges.end()) ++observed[static_cast<size_t>(above - edges.begin() - 1)];
    }
    for (int cell = 0; cell < kCells; ++cell) {
      const double low = std::erfc(-edges[static_cast<size_t>(cell)] / sigma / std::sqrt(2.0));
      const double high = std::erfc(-edges[static_cast<size_t>(cell) + 1] / sigma / std::sqrt(2.0));
      expected[static_cast<size_t>(cell)] = static_cast<double>(kCount) * (high - low) / 2;
    }
    EXPECT_LT(ChiSquareDeviations(observed, expected), 4) << variance;
  }
}

TEST(SkellamSamplerTest, MomentsAreThoseOfTheDistribution) {
  constexpr double kCount = 400'000;
  for (const uint64_t variance : {1ull, 5ull, 1000ull, (1ull << 18) - 1, 1ull << 18, 3ull << 26, 1ull << 40}) {
    double first = 0, second = 0, third = 0, fourth = 0;
    const double sigma = std::sqrt(static_cast<double>(variance));
    for (const int64_t draw : Draws(variance, static_cast<size_t>(kCount), 77 + variance)) {
      const double x = static_cast<double>(draw) / sigma;
      first += x;
      second += x * x;
      third += x * x * x;
      fourth += x * x * x * x;
    }
    const double kurtosis = 3 + 1 / static_cast<double>(variance);
    EXPECT_NEAR(first / kCount, 0, 5 / std::sqrt(kCount)) << variance;
    EXPECT_NEAR(second / kCount, 1, 5 * std::sqrt((kurtosis - 1) / kCount)) << variance;
    EXPECT_NEAR(third / kCount, 0, 5 * std::sqrt(32 / kCount)) << variance;           // E[x^6] = 15, 31 at variance 1
    EXPECT_NEAR(fourth / kCount, kurtosis, 5 * std::sqrt(500 / kCount)) << variance;  // E[x^8] = 105, 379 at 1
  }
}

TEST(SkellamSamplerTest, SumsOfDevicesAreSkellamOfTheSumOfVariances) {
  constexpr size_t kCount = 200'000;
  std::vector<int64_t> sum(kCount);
  SplitMix64 random(5);
  for (int device = 0; device < 6; ++device) {
    EXPECT_THAT(AddSkellamNoise(std::span<int64_t>(sum), 2, random), IsOk());
  }
  std::vector<double> observed(81), expected(81);
  for (const int64_t value : sum) {
    ASSERT_LE(std::abs(value), 40);
    ++observed[static_cast<size_t>(value + 40)];
  }
  for (int64_t k = -40; k <= 40; ++k) expected[static_cast<size_t>(k + 40)] = kCount * Probability(k, 12);
  EXPECT_LT(ChiSquareDeviations(observed, expected), 4);
}

TEST(SkellamSamplerTest, SameBytesGiveTheSameNoiseAndOthersOther) {
  for (const uint64_t variance : {9ull, 1ull << 30}) {
    EXPECT_EQ(Draws(variance, 1000, 1), Draws(variance, 1000, 1));
    EXPECT_NE(Draws(variance, 1000, 1), Draws(variance, 1000, 2));
  }
}

TEST(SkellamSamplerTest, GoldenDraws) {
  // The same on every machine: a device's noise can be derived again from a stored seed.
  EXPECT_EQ(Draws(100, 6, 42), (std::vector<int64_t>{-18, 11, -5, -3, 13, -8}));
  EXPECT_EQ(Draws(1ull << 40, 4, 42), (std::vector<int64_t>{213317, -823655, -96434, -2319955}));
}

TEST(SkellamSamplerTest, RingAndIntegersGetTheSameNoise) {
  constexpr uint64_t kVariance = 1 << 20;
  std::vector<uint32_t> ring(500, 7);
  SplitMix64 random(3);
  EXPECT_THAT(AddSkellamNoise(std::span<uint32_t>(ring), kVariance, random), IsOk());
  const std::vector<int64_t> noise = Draws(kVariance, 500, 3);
  for (size_t i = 0; i < ring.size(); ++i) {
    ASSERT_EQ(static_cast<int32_t>(ring[i] - 7), noise[i]);
  }
  EXPECT_LT(*std::min_element(noise.begin(), noise.end()), 0);
}

TEST(SkellamSamplerTest, VarianceIsLimitedAndZeroIsNoNoise) {
  std::vector<int64_t> values = {4, 5};
  SplitMix64 random(1);
  EXPECT_THAT(AddSkellamNoise(std::span<int64_t>(values), 0, random), IsOk());
  EXPECT_THAT(AddSkellamNoise(std::span<int64_t>(values), kMaxSkellamVariance + 1, random),
              HasStatus(StatusCode::kInvalidArgument, "1099511627776"));
  EXPECT_EQ(values, (std::vector<int64_t>{4, 5}));
  EXPECT_THAT(SkellamSampler::Create(kMaxSkellamVariance), IsOk());
  EXPECT_THAT(AddSkellamNoise(std::span<int64_t>(), 9, random), IsOk());
}

TEST(SkellamSamplerTest, AMillionDrawsReachAsFarAsTheyShould) {
  for (const uint64_t variance : {1000ull, (1ull << 18) - 1, 1ull << 30}) {
    const std::vector<int64_t> draws = Draws(variance, 1'000'000, 8);
    const auto [low, high] = std::minmax_element(draws.begin(), draws.end());
    // A million draws reach 4 to 7 standard deviations (each fails with less than 10^-6).
    const double sigma = std::sqrt(static_cast<double>(variance));
    EXPECT_GT(static_cast<double>(*high), 4 * sigma);
    EXPECT_LT(static_cast<double>(*high), 7.5 * sigma);
    EXPECT_LT(static_cast<double>(*low), -4 * sigma);
    EXPECT_GT(static_cast<double>(*low), -7.5 * sigma);
  }
}

}  // namespace
}  // namespace fleetune
