#include "inference/runtime/token_weights.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

// Of a large vocabulary, with equals among them and some that are out.
std::vector<float> RandomWeights(size_t count, uint64_t seed, double spread) {
  SplitMix64 random(seed);
  std::vector<float> weights(count);
  for (float& weight : weights) {
    weight = static_cast<float>(std::exp(-spread * std::round(random.NextUnit() * 1000) / 1000));
    if (random.NextUnit() < 0.1) weight = 0;
  }
  weights[count / 2] = 1;
  return weights;
}

std::vector<WeighedToken> SortedByWeight(std::span<const float> weights) {
  std::vector<WeighedToken> all = TokensWithWeight(weights);
  std::ranges::stable_sort(all, [](const WeighedToken& a, const WeighedToken& b) { return a.weight > b.weight; });
  return all;
}

std::vector<int32_t> Tokens(std::span<const WeighedToken> weighed) {
  std::vector<int32_t> tokens;
  for (const WeighedToken& one : weighed) tokens.push_back(one.token);
  std::ranges::sort(tokens);
  return tokens;
}

TEST(TokenWeights, TheLikeliestAreTheFirstOfThemSorted) {
  for (const double spread : {0.0, 0.5, 20.0, 80.0}) {
    const std::vector<float> weights = RandomWeights(5000, 1, spread);
    const std::vector<WeighedToken> sorted = SortedByWeight(weights);
    for (const size_t count : {size_t{1}, size_t{2}, size_t{40}, size_t{3000}, sorted.size(), size_t{100'000}}) {
      std::vector<WeighedToken> kept = TokensWithWeight(weights);
      KeepLikeliest(kept, count);
      EXPECT_EQ(Tokens(kept), Tokens(std::span(sorted).first(std::min(count, sorted.size())))) << spread << " " << count;
    }
  }
}

TEST(TokenWeights, AShareIsReachedByTheFewest) {
  for (const double spread : {0.0, 0.5, 20.0, 80.0}) {
    const std::vector<float> weights = RandomWeights(5000, 2, spread);
    const std::vector<WeighedToken> sorted = SortedByWeight(weights);
    double total = 0;
    for (const WeighedToken& one : sorted) total += static_cast<double>(one.weight);
    for (const double share : {1e-9, 0.1, 0.5, 0.9, 0.999}) {
      std::vector<WeighedToken> kept = TokensWithWeight(weights);
      KeepShare(kept, share);
      size_t count = 0;
      for (double sum = 0; sum < share * total; ++count) sum += static_cast<double>(sorted[count].weight);
      // Sums in another order may differ in their last bits.
      EXPECT_NEAR(static_cast<double>(kept.size()), static_cast<double>(count), 1) << spread << " " << share;
      EXPECT_EQ(Tokens(kept), Tokens(std::span(sorted).first(kept.size()))) << spread << " " << share;
    }
  }
}

TEST(TokenWeights, DrawsFollowTheWeights) {
  const std::vector<float> weights = RandomWeights(2500, 3, 3);
  const std::vector<WeighedToken> tokens = TokensWithWeight(weights);
  double total = 0;
  for (const float weight : weights) total += static_cast<double>(weight);
  double sum = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] == 0) continue;
    const double middle = (sum + 0.5 * static_cast<double>(weights[i])) / total;
    EXPECT_EQ(DrawToken(weights, middle), static_cast<int32_t>(i));
    EXPECT_EQ(DrawToken(tokens, middle), static_cast<int32_t>(i));
    sum += static_cast<double>(weights[i]);
  }
  EXPECT_EQ(DrawToken(weights, 0), tokens.front().token);
  EXPECT_EQ(DrawToken(weights, std::nextafter(1.0, 0.0)), tokens.back().token);
}

TEST(TokenWeights, ACrumbFallsToTheLastThatHasWeight) {
  std::vector<float> weights(3000);
  weights[5] = 1;
  for (const double unit : {0.0, 0.5, std::nextafter(1.0, 0.0), 1.0}) EXPECT_EQ(DrawToken(weights, unit), 5);
  weights[2999] = 0.5f;
  EXPECT_EQ(DrawToken(weights, 1), 2999);
  EXPECT_EQ(DrawToken(TokensWithWeight(weights), 1), 2999);
}

TEST(TokenWeightsDeathTest, ChecksItsCaller) {
  EXPECT_DEATH(TokensWithWeight(std::vector<float>{1.5f}), "weights");
  EXPECT_DEATH(TokensWithWeight(std::vector<float>{-1}), "weights");
  EXPECT_DEATH(DrawToken(std::vector<float>{0, 0}, 0.5), "total");
  std::vector<WeighedToken> none;
  EXPECT_DEATH(DrawToken(none, 0.5), "empty");
  EXPECT_DEATH(KeepLikeliest(none, 0), "count");
  EXPECT_DEATH(KeepShare(none, 0), "share");
}

}  // namespace
}  // namespace fleetune
