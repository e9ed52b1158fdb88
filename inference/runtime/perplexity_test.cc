#include "inference/runtime/perplexity.h"

#include <cmath>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::shared_ptr<const Model> LoadTiny() {
  auto model = Model::Load(*GgufFile::FromBytes(TinyLlama{.context = 100}.ToBytes()));
  EXPECT_THAT(model, IsOk());
  return *model;
}

std::vector<int32_t> SomeTokens(size_t count) {
  std::vector<int32_t> tokens(count);
  for (size_t i = 0; i < count; ++i) tokens[i] = static_cast<int32_t>(i * i % 259);
  return tokens;
}

TEST(PredictTokens, AgreesWithTheLogits) {
  const auto model = LoadTiny();
  const std::vector<int32_t> tokens = SomeTokens(90);  // more than one piece
  std::vector<float> logits(tokens.size() * 259);
  ASSERT_THAT((*Sequence::Start(model, nullptr, 90))->Append(tokens, logits), IsOk());
  const auto predictions = PredictTokens(model, nullptr, tokens);
  ASSERT_THAT(predictions, IsOk());
  ASSERT_EQ(predictions->log_probability.size(), 89u);
  ASSERT_EQ(predictions->likeliest.size(), 90u);
  for (size_t i = 0; i + 1 < tokens.size(); ++i) {
    double sum = 0;
    for (size_t v = 0; v < 259; ++v) sum += std::exp(static_cast<double>(logits[i * 259 + v]));
    const double expected =
        static_cast<double>(logits[i * 259 + static_cast<size_t>(tokens[i + 1])]) - std::log(sum);
    EXPECT_NEAR(predictions->log_probability[i], expected, 1e-6);
  }
  EXPECT_EQ(*NextTokenLogProbabilities(model, nullptr, tokens), predictions->log_probability);
}

TEST(PredictTokens, RefusesLengthsAndTokensOutOfRange) {
  const auto model = LoadTiny();
  EXPECT_THAT(PredictTokens(model, nullptr, SomeTokens(1)),
              HasStatus(StatusCode::kInvalidArgument, "1 tokens"));
  EXPECT_THAT(PredictTokens(model, nullptr, SomeTokens(2)), IsOk());
  EXPECT_THAT(PredictTokens(model, nullptr, SomeTokens(100)), IsOk());
  EXPECT_THAT(PredictTokens(model, nullptr, SomeTokens(101)),
              HasStatus(StatusCode::kInvalidArgument, "context of 100"));
  for (const int32_t bad : {-1, 259}) {
    EXPECT_THAT(PredictTokens(model, nullptr, std::vector<int32_t>{1, bad}),
                HasStatus(StatusCode::kInvalidArgument, "vocabulary"));
  }
}

TEST(PerplexityOverWindows, ScoresTheSecondHalfOfEachWindow) {
  const auto model = LoadTiny();
  const std::vector<int32_t> tokens = SomeTokens(25);  // three windows of eight, one left out
  for (const int32_t bos : {-1, 1}) {
    const auto result = PerplexityOverWindows(model, nullptr, tokens, 8, bos);
    ASSERT_THAT(result, IsOk());
    double loss = 0;
    for (size_t begin = 0; begin < 24; begin += 8) {
      std::vector<int32_t> window(tokens.begin() + static_cast<ptrdiff_t>(begin),
                                  tokens.begin() + static_cast<ptrdiff_t>(begin + 8));
      if (bos >= 0) window[0] = bos;
      const auto values = NextTokenLogProbabilities(model, nullptr, window);
      for (size_t i = 4; i < 8; ++i) loss -= (*values)[i - 1];
    }
    EXPECT_EQ(result->scored_tokens, 12u);
    EXPECT_NEAR(result->mean_loss, loss / 12, 1e-12);
    EXPECT_NEAR(result->perplexity, std::exp(loss / 12), 1e-9);
  }
}

TEST(PerplexityOverWindows, RefusesWindowsThatDoNotFit) {
  const auto model = LoadTiny();
  const auto run = [&](size_t tokens, uint32_t window) {
    return PerplexityOverWindows(model, nullptr, SomeTokens(tokens), window, 1);
  };
  EXPECT_THAT(run(10, 2), IsOk());
  EXPECT_THAT(run(10, 1), HasStatus(StatusCode::kInvalidArgument, "window of 1"));
  EXPECT_THAT(run(100, 100), IsOk());
  EXPECT_THAT(run(200, 101), HasStatus(StatusCode::kInvalidArgument, "window of 101"));
  EXPECT_THAT(run(9, 10), HasStatus(StatusCode::kInvalidArgument, "less than one window"));
}

}  // namespace
}  // namespace fleetune
