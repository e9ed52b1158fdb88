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

TEST(SampleOptions, EveryFieldHasItsRange) {
  const auto refuses = [](const SampleOptions& options, std::string_view part) {
    EXPECT_THAT(Validate(options), HasStatus(absl::StatusCode::kInvalidArgument, part));
  };
  EXPECT_THAT(Validate(SampleOptions{}), IsOk());
  EXPECT_THAT(Validate(SampleOptions{.temperature = 10, .min_p = 1, .repetition_penalty = 10, .repetition_window = 32'768}),
              IsOk());
  refuses({.min_p = -0.1f}, "min_p is -0.1; expected 0 to 1");
  refuses({.min_p = 1.1f}, "min_p");
  refuses({.min_p = std::numeric_limits<float>::quiet_NaN()}, "min_p");
  refuses({.repetition_penalty = 0}, "repetition_penalty is 0");
  refuses({.repetition_penalty = 10.5f}, "repetition_penalty");
  refuses({.repetition_window = 32'769}, "repetition_window");
}

TEST(Sampler, KeepsWhatIsAtLeastMinPTimesAsLikelyAsTheLikeliest) {
  EXPECT_EQ(CountsOf({.temperature = 1, .min_p = 0.1f}, kLogits).size(), 3u);  // 1/6 and 1/2 of the likeliest
  EXPECT_FALSE(CountsOf({.temperature = 1, .min_p = 0.2f}, kLogits).contains(0));
  EXPECT_EQ(CountsOf({.temperature = 1, .min_p = 0.6f}, kLogits).size(), 1u);
  EXPECT_EQ(CountsOf({.temperature = 1, .min_p = 1}, kLogits).size(), 1u);
}

TEST(Sampler, LimitsActTogether) {
  // Top-p counts what top-k left: of 0.6 and 0.3 the first has two thirds.
  EXPECT_EQ(CountsOf({.temperature = 1, .top_k = 2, .top_p = 0.65f}, kLogits).size(), 1u);
  EXPECT_EQ(CountsOf({.temperature = 1, .top_k = 2, .top_p = 0.7f}, kLogits).size(), 2u);
}

TEST(Sampler, WhatWasSeenIsLessLikelyAgain) {
  Sampler sampler({.repetition_penalty = 2, .repetition_window = 2});
  const std::vector<float> logits = {3, 2, -1, -1.5f};
  EXPECT_EQ(*sampler.Sample(logits), 0);
  sampler.Saw(std::vector<int32_t>{0});
  EXPECT_EQ(*sampler.Sample(logits), 1);  // 1.5 against 2
  sampler.Saw(std::vector<int32_t>{1, 1});
  EXPECT_EQ(*sampler.Sample(logits), 0);  // 0 left the window
  Sampler negative({.repetition_penalty = 2});
  negative.Saw(std::vector<int32_t>{1});
  EXPECT_EQ(*negative.Sample(std::vector<float>{-1.5f, -1}), 0);  // -1 became -2
}

TEST(Sampler, ChoosesAmongTheAllowedAlone) {
  const auto odd = [](int32_t token) { return token % 2 == 1; };
  const auto none = [](int32_t) { return false; };
  const std::vector<float> logits = {9, 1, 8, 2};
  Sampler greedy({});
  EXPECT_EQ(*greedy.Sample(logits, odd), 3);
  EXPECT_THAT(greedy.Sample(logits, none), HasStatus(absl::StatusCode::kFailedPrecondition, "no token"));
  for (const SampleOptions& options : {SampleOptions{.temperature = 1}, SampleOptions{.temperature = 1, .top_k = 3},
                                       SampleOptions{.temperature = 1, .top_p = 0.9f}}) {
    Sampler sampler(options);
    for (int i = 0; i < 100; ++i) EXPECT_EQ(*sampler.Sample(logits, odd) % 2, 1);
    EXPECT_THAT(sampler.Sample(logits, none), HasStatus(absl::StatusCode::kFailedPrecondition, "no token"));
  }
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
