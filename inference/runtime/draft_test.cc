// Answers with drafts are those without.

#include "gtest/gtest.h"
#include "inference/runtime/generator.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_generator.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::unique_ptr<const Generator> OpenTiny(const EngineOptions& engine = {.threads = 1}) {
  return OpenTinyGenerator({.context = 400}, engine);
}

// Keeps what it reads; wants no more than so many pieces.
struct Collector final : AnswerReader {
  void Read(std::string_view piece, std::span<const ChosenToken> chosen) override {
    ++pieces;
    text += piece;
    tokens.insert(tokens.end(), chosen.begin(), chosen.end());
  }
  bool Wanted() override {
    ++questions;
    return pieces < wanted_pieces;
  }
  size_t wanted_pieces = SIZE_MAX;
  size_t pieces = 0;
  size_t questions = 0;
  std::string text;
  std::vector<ChosenToken> tokens;
};

struct Outcome {
  Generated answer;
  Collector read;
};

Outcome Ask(const Generator& generator, std::string_view prompt, GenerateOptions options, uint32_t drafts,
            size_t wanted_pieces = SIZE_MAX) {
  Outcome outcome;
  outcome.read.wanted_pieces = wanted_pieces;
  options.draft_tokens = drafts;
  if (options.time_budget.count() > 0) {
    options.now = [&read = outcome.read] {
      return std::chrono::steady_clock::time_point(read.questions * std::chrono::milliseconds(10));
    };
  }
  const auto answer =
      generator.Answer({.prompt = generator.EncodePrompt(prompt, false), .options = options}, outcome.read);
  EXPECT_THAT(answer, IsOk());
  if (answer.ok()) outcome.answer = *answer;
  return outcome;
}

void ExpectSame(const Outcome& drafted, const Outcome& plain) {
  EXPECT_EQ(drafted.answer.text, plain.answer.text);
  EXPECT_EQ(drafted.answer.reason, plain.answer.reason);
  EXPECT_EQ(drafted.answer.answer_tokens, plain.answer.answer_tokens);
  EXPECT_EQ(drafted.read.text, plain.read.text);
  EXPECT_EQ(drafted.read.pieces, plain.read.pieces);
  EXPECT_EQ(drafted.read.questions, plain.read.questions);
  ASSERT_EQ(drafted.answer.tokens.size(), plain.answer.tokens.size());
  for (size_t i = 0; i < plain.answer.tokens.size(); ++i) {
    const ChosenToken& a = drafted.answer.tokens[i];
    const ChosenToken& b = plain.answer.tokens[i];
    EXPECT_EQ(a.chosen.bytes, b.chosen.bytes);
    EXPECT_EQ(a.chosen.log_probability, b.chosen.log_probability);  // to the bit
    ASSERT_EQ(a.likeliest.size(), b.likeliest.size());
    for (size_t j = 0; j < b.likeliest.size(); ++j) EXPECT_EQ(a.likeliest[j].log_probability, b.likeliest[j].log_probability);
  }
  EXPECT_LE(drafted.answer.accepted_tokens, drafted.answer.drafted_tokens);
  EXPECT_EQ(plain.answer.drafted_tokens, 0u);
}

constexpr char kPrompt[] = "one two three, one two three, one two";

TEST(Draft, ChangesNoTokenOfAGreedyAnswer) {
  for (const bool exact : {false, true}) {
    const auto generator = OpenTiny({.exact = exact, .threads = 1});
    const Outcome plain = Ask(*generator, kPrompt, {.max_tokens = 300}, 0);
    for (const uint32_t drafts : {1u, 3u, 8u, 32u}) {
      const Outcome drafted = Ask(*generator, kPrompt, {.max_tokens = 300}, drafts);
      ExpectSame(drafted, plain);
      EXPECT_GT(drafted.answer.accepted_tokens, 20u);  // random weights go in circles
    }
  }
}

TEST(Draft, ChangesNoTokenOfASampledAnswer) {
  const auto generator = OpenTiny();
  uint32_t accepted = 0, rejected = 0;
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    GenerateOptions options = {.max_tokens = 200, .temperature = 0.05f * static_cast<float>(seed), .seed = seed};
    options.top_k = seed % 3 == 0 ? 5 : 0;
    options.top_p = seed % 4 == 0 ? 0.9f : 1.0f;
    options.repetition_penalty = seed % 5 == 0 ? 1.1f : 1.0f;
    options.log_probabilities = seed % 2 == 0 ? std::optional<uint32_t>(2) : std::nullopt;
    const Outcome drafted = Ask(*generator, kPrompt, options, 8);
    ExpectSame(drafted, Ask(*generator, kPrompt, options, 0));
    accepted += drafted.answer.accepted_tokens;
    rejected += drafted.answer.drafted_tokens - drafted.answer.accepted_tokens;
  }
  EXPECT_GT(accepted, 20u);
  EXPECT_GT(rejected, 20u);
}

TEST(Draft, LimitsCutInsideOfOne) {
  const auto generator = OpenTiny();
  const std::string whole = Ask(*generator, kPrompt, {.max_tokens = 100}, 0).answer.text;
  for (uint32_t tokens = 20; tokens < 60; ++tokens) {
    ExpectSame(Ask(*generator, kPrompt, {.max_tokens = tokens}, 8), Ask(*generator, kPrompt, {.max_tokens = tokens}, 0));
    const GenerateOptions budget = {.max_tokens = 100, .time_budget = std::chrono::milliseconds(10 * tokens)};
    const Outcome cut = Ask(*generator, kPrompt, budget, 8);
    EXPECT_EQ(cut.answer.reason, StopReason::kTimeBudget);
    ExpectSame(cut, Ask(*generator, kPrompt, budget, 0));
    const Outcome cancelled = Ask(*generator, kPrompt, {.max_tokens = 100}, 8, tokens);
    ExpectSame(cancelled, Ask(*generator, kPrompt, {.max_tokens = 100}, 0, tokens));
    if (tokens + 2 > whole.size()) continue;
    const GenerateOptions stop = {.max_tokens = 100, .stop = {whole.substr(tokens, 2)}};
    ExpectSame(Ask(*generator, kPrompt, stop, 8), Ask(*generator, kPrompt, stop, 0));
  }
  const Outcome full = Ask(*generator, kPrompt, {.max_tokens = 5000}, 8);
  EXPECT_EQ(full.answer.reason, StopReason::kContextFull);
  ExpectSame(full, Ask(*generator, kPrompt, {.max_tokens = 5000}, 0));
}

TEST(Draft, KeepsToAJsonSchema) {
  const auto generator = OpenTiny();
  const auto schema =
      ParseJsonSchema(R"({"type": "array", "minItems": 12, "maxItems": 12, "items": {"enum": ["abcabc", "abcabd"]}})");
  ASSERT_THAT(schema, IsOk());
  for (uint64_t seed = 1; seed < 6; ++seed) {
    const GenerateOptions options = {.max_tokens = 350, .temperature = 0.3f, .seed = seed, .json = *schema};
    const Outcome drafted = Ask(*generator, "hi", options, 8);
    EXPECT_GT(drafted.answer.accepted_tokens, 10u);
    ExpectSame(drafted, Ask(*generator, "hi", options, 0));
  }
}

// What a cache keeps is what was read without the forgotten tokens.
TEST(Draft, LeavesThePromptCacheAsItWouldBe) {
  const auto generator = OpenTiny();
  std::vector<std::string> texts;
  std::vector<uint32_t> cached;
  for (const uint32_t drafts : {0u, 8u}) {
    PromptCache cache(1 << 24);
    Collector reader;
    GenerateOptions options = {.max_tokens = 60, .temperature = 0.4f, .draft_tokens = drafts};
    const auto first = generator->Answer({.prompt = generator->EncodePrompt(kPrompt, false), .options = options}, reader, &cache);
    ASSERT_THAT(first, IsOk());
    const auto next = generator->Answer(
        {.prompt = generator->EncodePrompt(kPrompt + first->text + "!", false), .options = options}, reader, &cache);
    ASSERT_THAT(next, IsOk());
    texts.push_back(first->text + next->text);
    cached.push_back(next->cached_tokens);
  }
  EXPECT_EQ(texts[0], texts[1]);
  EXPECT_EQ(cached[0], cached[1]);
  EXPECT_GT(cached[0], 37u);
}

TEST(Draft, HasARange) {
  EXPECT_THAT(Validate({.draft_tokens = 32}), IsOk());
  EXPECT_THAT(Validate({.draft_tokens = 33}), HasStatus(StatusCode::kInvalidArgument, "draft_tokens is 33"));
}

}  // namespace
}  // namespace fleetune
