#include "inference/runtime/generator.h"

#include <unistd.h>

#include <limits>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::unique_ptr<const Generator> OpenTiny(const TinyLlama& tiny = {}) {
  const std::string path = testing::TempDir() + "/generator_test." + std::to_string(::getpid()) + ".gguf";
  EXPECT_THAT(tiny.ToWriter().WriteFile(path), IsOk());
  auto generator = Generator::Open(path);
  EXPECT_THAT(generator, IsOk());
  return *std::move(generator);
}

absl::StatusOr<Generated> Answer(const Generator& generator, std::string_view prompt, const GenerateOptions& options) {
  return generator.Generate(prompt, nullptr, options, [](std::string_view) {});
}

TEST(GenerateOptions, EveryFieldHasItsRange) {
  EXPECT_THAT(Validate(GenerateOptions{}), IsOk());
  EXPECT_THAT(Validate({.max_tokens = 0}), HasStatus(StatusCode::kInvalidArgument, "max_tokens is 0"));
  EXPECT_THAT(Validate({.max_tokens = 32'768}), IsOk());
  EXPECT_THAT(Validate({.max_tokens = 32'769}), HasStatus(StatusCode::kInvalidArgument, "max_tokens"));
  EXPECT_THAT(Validate({.temperature = 10}), IsOk());
  EXPECT_THAT(Validate({.temperature = 10.1f}), HasStatus(StatusCode::kInvalidArgument, "temperature"));
  EXPECT_THAT(Validate({.temperature = -0.1f}), HasStatus(StatusCode::kInvalidArgument, "temperature"));
  EXPECT_THAT(Validate({.temperature = std::numeric_limits<float>::quiet_NaN()}),
              HasStatus(StatusCode::kInvalidArgument, "temperature"));
  EXPECT_THAT(Validate({.top_p = 0}), HasStatus(StatusCode::kInvalidArgument, "top_p"));
  EXPECT_THAT(Validate({.top_p = 1.01f}), HasStatus(StatusCode::kInvalidArgument, "top_p"));
  EXPECT_THAT(Validate({.stop = {"a", ""}}), HasStatus(StatusCode::kInvalidArgument, "stop"));
}

TEST(Generator, StreamsExactlyItsText) {
  const auto generator = OpenTiny();
  std::string streamed;
  const auto answer = generator->Generate("hi", nullptr, {.max_tokens = 20, .temperature = 1, .seed = 3},
                                          [&](std::string_view piece) { streamed += piece; });
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(streamed, answer->text);
  EXPECT_EQ(answer->prompt_tokens, 3u);  // BOS, h, i
}

TEST(Generator, StopsAtEachLimit) {
  const auto generator = OpenTiny();
  const auto few = Answer(*generator, "hi", {.max_tokens = 4});
  ASSERT_THAT(few, IsOk());
  EXPECT_EQ(few->answer_tokens, 4u);
  EXPECT_EQ(few->reason, StopReason::kMaxTokens);
  const auto many = Answer(*generator, "hi", {.max_tokens = 1000});
  ASSERT_THAT(many, IsOk());
  EXPECT_EQ(many->reason, StopReason::kContextFull);
  EXPECT_EQ(many->prompt_tokens + many->answer_tokens, 32u);
  const auto exact = Answer(*generator, "hi", {.max_tokens = 29});
  ASSERT_THAT(exact, IsOk());
  EXPECT_EQ(exact->reason, StopReason::kMaxTokens);
}

TEST(Generator, StopsAtTheEndOfText) {
  const auto generator = OpenTiny();
  bool ended = false;
  for (uint64_t seed = 0; seed < 300 && !ended; ++seed) {
    const auto answer = Answer(*generator, "hi", {.max_tokens = 29, .temperature = 2, .seed = seed});
    ASSERT_THAT(answer, IsOk());
    ended = answer->reason == StopReason::kEndOfText;
    EXPECT_LT(answer->answer_tokens, ended ? 29u : 30u);
  }
  EXPECT_TRUE(ended);  // one token in 259 is the end: 300 answers hold about 30
}

TEST(Generator, StopsBeforeAStopString) {
  const auto generator = OpenTiny();
  const auto whole = Answer(*generator, "hi", {.max_tokens = 20, .temperature = 1, .seed = 5});
  ASSERT_THAT(whole, IsOk());
  ASSERT_GT(whole->text.size(), 6u);
  const std::string stop = whole->text.substr(3, 2);
  const auto cut = Answer(*generator, "hi", {.max_tokens = 20, .temperature = 1, .seed = 5, .stop = {stop}});
  ASSERT_THAT(cut, IsOk());
  EXPECT_EQ(cut->reason, StopReason::kStopString);
  EXPECT_EQ(cut->text, whole->text.substr(0, whole->text.find(stop)));
}

TEST(Generator, AnEmptyPromptBeginsAText) {
  const auto answer = Answer(*OpenTiny(), "", {.max_tokens = 2});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->prompt_tokens, 1u);
}

TEST(Generator, ControlTokensInAPromptOnlyIfTheCallerTrustsIt) {
  const auto generator = OpenTiny();
  const auto tokens = [&](bool parse_special) {
    const auto answer = Answer(*generator, "a</s>", {.max_tokens = 1, .parse_special = parse_special});
    EXPECT_THAT(answer, IsOk());
    return answer->prompt_tokens;
  };
  EXPECT_EQ(tokens(false), 6u);  // BOS, five bytes
  EXPECT_EQ(tokens(true), 3u);   // BOS, a, EOS
}

TEST(Generator, RefusesAPromptThatFillsTheContext) {
  const auto generator = OpenTiny();
  EXPECT_THAT(Answer(*generator, std::string(30, 'a'), {.max_tokens = 1}), IsOk());
  EXPECT_THAT(Answer(*generator, std::string(31, 'a'), {.max_tokens = 1}),
              HasStatus(StatusCode::kInvalidArgument, "32 tokens"));
  EXPECT_THAT(Answer(*generator, "a", {.max_tokens = 0}), HasStatus(StatusCode::kInvalidArgument, "max_tokens"));
}

TEST(Generator, OpenSaysWhatIsWrong) {
  EXPECT_THAT(Generator::Open("/nonexistent.gguf"), HasStatus(StatusCode::kNotFound, "/nonexistent.gguf"));
}

TEST(StopReason, HasAName) {
  EXPECT_EQ(StopReasonName(StopReason::kEndOfText), "end_of_text");
  EXPECT_EQ(StopReasonName(StopReason::kContextFull), "context_full");
}

}  // namespace
}  // namespace fleetune
