#include "inference/runtime/sampler.h"

#include <cmath>
#include <limits>
#include <map>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

// How often each token comes in `draws` draws.
std::map<int32_t, int> CountsOf(const SampleOptions& options, const std::vector<float>& logits,
                                int draws = 20000) {
  Sampler sampler(options);
  std::map<int32_t, int> counts;
  for (int i = 0; i < draws; ++i) ++counts[*sampler.Sample(logits)];
  return counts;
}

const std::vector<float> kLogits = {std::log(0.1f), std::log(0.6f), std::log(0.3f)};

TEST(Sampler, TakesTheLikeliestAtTemperatureZero) {
  Sampler sampler({});
  EXPECT_EQ(*sampler.Sample(std::vector<float>{1, 3, 2, 3}), 1);
  EXPECT_EQ(*sampler.Sample(std::vector<float>{-5}), 0);
}

TEST(Sampler, DrawsWithTheModelsProbabilities) {
  const auto counts = CountsOf({.temperature = 1}, kLogits);
  // Five standard deviations of 20,000 draws are at most 0.018.
  EXPECT_NEAR(counts.at(0) / 20000.0, 0.1, 0.018);
  EXPECT_NEAR(counts.at(1) / 20000.0, 0.6, 0.018);
  EXPECT_NEAR(counts.at(2) / 20000.0, 0.3, 0.018);
}

TEST(Sampler, TemperatureSharpensAndFlattens) {
  EXPECT_GT(CountsOf({.temperature = 0.25f}, kLogits)[1], 18000);
  EXPECT_GT(CountsOf({.temperature = 10}, kLogits)[0], 5500);
}

TEST(Sampler, KeepsTheLikeliestK) {
  EXPECT_EQ(CountsOf({.temperature = 1, .top_k = 1}, kLogits).size(), 1u);
  EXPECT_FALSE(CountsOf({.temperature = 1, .top_k = 2}, kLogits).contains(0));
  EXPECT_EQ(CountsOf({.temperature = 1, .top_k = 100}, kLogits).size(), 3u);
}

TEST(Sampler, KeepsTheFewestThatReachTopP) {
  EXPECT_EQ(CountsOf({.temperature = 1, .top_p = 0.5f}, kLogits).size(), 1u);
  EXPECT_FALSE(CountsOf({.temperature = 1, .top_p = 0.8f}, kLogits).contains(0));
  EXPECT_EQ(CountsOf({.temperature = 1, .top_p = 0.95f}, kLogits).size(), 3u);
  EXPECT_EQ(CountsOf({.temperature = 1, .top_p = 1e-9f}, kLogits).size(), 1u);
}

TEST(Sampler, TheSameSeedDrawsTheSame) {
  Sampler first({.temperature = 1, .seed = 7});
  Sampler second({.temperature = 1, .seed = 7});
  Sampler other({.temperature = 1, .seed = 8});
  bool differs = false;
  for (int i = 0; i < 100; ++i) {
    const int32_t token = *first.Sample(kLogits);
    EXPECT_EQ(*second.Sample(kLogits), token);
    differs |= *other.Sample(kLogits) != token;
  }
  EXPECT_TRUE(differs);
}

TEST(Sampler, RefusesLogitsThatAreNoNumbers) {
  Sampler sampler({});
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    EXPECT_THAT(sampler.Sample(std::vector<float>{0, bad}),
                HasStatus(absl::StatusCode::kInternal, "not finite"));
  }
}

}  // namespace
}  // namespace fleetune
