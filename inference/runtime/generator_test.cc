#include "inference/runtime/generator.h"

#include <limits>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_generator.h"

namespace fleetune {
namespace {

using absl::StatusCode;

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
  const auto generator = OpenTinyGenerator();
  std::string streamed;
  const auto answer = generator->Generate("hi", nullptr, {.max_tokens = 20, .temperature = 1, .seed = 3},
                                          [&](std::string_view piece) { streamed += piece; });
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(streamed, answer->text);
  EXPECT_EQ(answer->prompt_tokens, 3u);  // BOS, h, i
}

TEST(Generator, StopsAtEachLimit) {
  const auto generator = OpenTinyGenerator();
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
  const auto generator = OpenTinyGenerator();
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
  const auto generator = OpenTinyGenerator();
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
  const auto answer = Answer(*OpenTinyGenerator(), "", {.max_tokens = 2});
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->prompt_tokens, 1u);
}

TEST(Generator, ControlTokensInAPromptOnlyIfTheCallerTrustsIt) {
  const auto generator = OpenTinyGenerator();
  const auto tokens = [&](bool parse_special) {
    const auto answer = Answer(*generator, "a</s>", {.max_tokens = 1, .parse_special = parse_special});
    EXPECT_THAT(answer, IsOk());
    return answer->prompt_tokens;
  };
  EXPECT_EQ(tokens(false), 6u);  // BOS, five bytes
  EXPECT_EQ(tokens(true), 3u);   // BOS, a, EOS
}

TEST(Generator, RefusesAPromptThatFillsTheContext) {
  const auto generator = OpenTinyGenerator();
  EXPECT_THAT(Answer(*generator, std::string(30, 'a'), {.max_tokens = 1}), IsOk());
  EXPECT_THAT(Answer(*generator, std::string(31, 'a'), {.max_tokens = 1}),
              HasStatus(StatusCode::kInvalidArgument, "32 tokens"));
  EXPECT_THAT(Answer(*generator, "a", {.max_tokens = 0}), HasStatus(StatusCode::kInvalidArgument, "max_tokens"));
}

TEST(Generator, OpenSaysWhatIsWrong) {
  EXPECT_THAT(Generator::Open("/nonexistent.gguf"), HasStatus(StatusCode::kNotFound, "/nonexistent.gguf"));
}

// Reads an answer, wants no more than so many pieces, and makes time pass with each question.
class TestReader final : public AnswerReader {
 public:
  explicit TestReader(size_t wanted_pieces = SIZE_MAX) : wanted_pieces_(wanted_pieces) {}
  void Read(std::string_view piece, std::span<const ChosenToken> chosen) override {
    ++pieces_;
    text += piece;
    tokens += chosen.size();
  }
  bool Wanted() override {
    ++questions;
    return pieces_ < wanted_pieces_;
  }
  std::function<std::chrono::steady_clock::time_point()> Clock() {
    return [this] { return std::chrono::steady_clock::time_point(questions * std::chrono::milliseconds(10)); };
  }

  std::string text;
  size_t tokens = 0;
  size_t questions = 0;

 private:
  const size_t wanted_pieces_;
  size_t pieces_ = 0;
};

TEST(Generator, ATimeBudgetEndsAnAnswerGracefully) {
  const auto generator = OpenTinyGenerator();
  TestReader reader;
  const auto answer = generator->Answer(
      {.prompt = generator->EncodePrompt("hi", false),
       .options = {.max_tokens = 20, .time_budget = std::chrono::milliseconds(60), .now = reader.Clock()}},
      reader);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->reason, StopReason::kTimeBudget);
  EXPECT_EQ(answer->answer_tokens, 5u);  // the prompt took 10 ms, and each token
  EXPECT_EQ(answer->read_time, std::chrono::milliseconds(10));
  EXPECT_EQ(answer->write_time, std::chrono::milliseconds(50));
  EXPECT_EQ(answer->text, reader.text);
  const auto whole = Answer(*generator, "hi", {.max_tokens = 20});
  EXPECT_TRUE(whole->text.starts_with(answer->text));
}

TEST(Generator, ATimeBudgetMayEndAPromptToo) {
  const auto generator = OpenTinyGenerator();
  TestReader reader;
  const auto answer = generator->Answer(
      {.prompt = generator->EncodePrompt("hi", false),
       .options = {.time_budget = std::chrono::milliseconds(10), .now = reader.Clock()}},
      reader);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->reason, StopReason::kTimeBudget);
  EXPECT_EQ(answer->answer_tokens, 0u);
}

TEST(Generator, EndsWhenNobodyWantsTheRest) {
  const auto generator = OpenTinyGenerator();
  TestReader reader(3);
  const auto answer = generator->Answer(
      {.prompt = generator->EncodePrompt("hi", false), .options = {.max_tokens = 20}}, reader);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->reason, StopReason::kCancelled);
  EXPECT_GE(answer->answer_tokens, 3u);
  EXPECT_LT(answer->answer_tokens, 20u);
}

TEST(Generator, SaysHowLikelyItsTokensWere) {
  const auto generator = OpenTinyGenerator();
  TestReader reader;
  const AnswerRequest request = {.prompt = generator->EncodePrompt("hi", false),
                                 .options = {.max_tokens = 5, .log_probabilities = 3}};
  const auto answer = generator->Answer(request, reader);
  ASSERT_THAT(answer, IsOk());
  ASSERT_EQ(answer->tokens.size(), 5u);
  EXPECT_EQ(reader.tokens, 5u);
  for (const ChosenToken& token : answer->tokens) {
    ASSERT_EQ(token.likeliest.size(), 3u);
    EXPECT_EQ(token.likeliest[0].bytes, token.chosen.bytes);  // greedy
    EXPECT_EQ(token.likeliest[0].log_probability, token.chosen.log_probability);
    EXPECT_GT(token.likeliest[0].log_probability, token.likeliest[1].log_probability);
    EXPECT_LT(token.chosen.log_probability, 0);
  }
  EXPECT_TRUE(Answer(*generator, "hi", {.max_tokens = 5})->tokens.empty());
  EXPECT_THAT(Validate({.log_probabilities = 21}), HasStatus(StatusCode::kInvalidArgument, "log_probabilities is 21"));
}

TEST(Generator, APromptCacheChangesNoAnswer) {
  const auto generator = OpenTinyGenerator();
  PromptCache cache(1 << 20);
  const auto ask = [&](std::string_view prompt, PromptCache* with) {
    TestReader reader;
    const auto answer = generator->Answer({.prompt = generator->EncodePrompt(prompt, false),
                                           .options = {.max_tokens = 6, .temperature = 1, .seed = 3}},
                                          reader, with);
    EXPECT_THAT(answer, IsOk());
    return *answer;
  };
  EXPECT_EQ(ask("a long system prompt", &cache).cached_tokens, 0u);
  const Generated second = ask("a long system key", &cache);
  EXPECT_EQ(second.cached_tokens, 21u);  // BOS and "a long system ", whose spaces are three bytes each
  EXPECT_EQ(second.text, ask("a long system key", nullptr).text);
  const Generated again = ask("a long system prompt", &cache);
  EXPECT_EQ(again.cached_tokens, 26u);  // all but the last token
  EXPECT_EQ(again.text, ask("a long system prompt", nullptr).text);
}

TEST(Generator, WritesJsonIfAsked) {
  const auto generator = OpenTinyGenerator({.context = 512});
  const auto schema = ParseJsonSchema(
      R"({"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"enum": ["x", "yy"]}}, "required": ["a", "b"]})");
  ASSERT_THAT(schema, IsOk());
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const auto answer = Answer(*generator, "hi", {.max_tokens = 500, .temperature = seed == 0 ? 0.0f : 1.0f, .seed = seed, .json = *schema});
    ASSERT_THAT(answer, IsOk());
    EXPECT_EQ(answer->reason, StopReason::kEndOfText);
    std::string bare;  // white space is the model's own choice
    for (const char c : answer->text) {
      if (c > ' ') bare += c;
    }
    EXPECT_THAT(bare, testing::MatchesRegex(R"re(\{"a":(true|false),"b":"(x|yy)"\})re"));
  }
}

TEST(Generator, EmbeddingsHaveLengthOneAndDependOnTheText) {
  const auto generator = OpenTinyGenerator();
  const auto embed = [&](std::string_view text) {
    const auto found = generator->Embed(generator->EncodePrompt(text, false), nullptr);
    EXPECT_THAT(found, IsOk());
    return *found;
  };
  const std::vector<float> hello = embed("hello");
  ASSERT_EQ(hello.size(), 8u);
  double squares = 0;
  for (const float value : hello) squares += static_cast<double>(value) * static_cast<double>(value);
  EXPECT_NEAR(squares, 1, 1e-5);
  EXPECT_EQ(embed("hello"), hello);
  EXPECT_NE(embed("help"), hello);
  EXPECT_THAT(generator->Embed({}, nullptr), HasStatus(StatusCode::kInvalidArgument, "empty"));
}

TEST(StopReason, HasAName) {
  EXPECT_EQ(StopReasonName(StopReason::kTimeBudget), "time_budget");
  EXPECT_EQ(StopReasonName(StopReason::kCancelled), "cancelled");
  EXPECT_EQ(StopReasonName(StopReason::kEndOfText), "end_of_text");
  EXPECT_EQ(StopReasonName(StopReason::kContextFull), "context_full");
}

}  // namespace
}  // namespace fleetune
