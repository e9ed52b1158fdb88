#include "inference/runtime/answer_scheduler.h"

#include <atomic>
#include <latch>

#include "base/random.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_generator.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::shared_ptr<const Generator> OpenTiny(const EngineOptions& engine = {.threads = 2}) {
  return OpenTinyGenerator({.context = 400}, engine);
}

std::shared_ptr<const Adapter> AdapterOf(const Model& model, uint64_t seed) {
  const AdapterSpec spec = *AdapterSpec::Create(
      {.rank = 2, .alpha = 4, .targets = {Projection::kQ, Projection::kV, Projection::kDown}}, SizesOf(model.shape()));
  SplitMix64 random(seed);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = static_cast<float>(random.NextUnit() - 0.5);
  return std::make_shared<const Adapter>(*Adapter::Create(spec, DeriveA(spec, seed), std::move(b)));
}

struct Collector : AnswerReader {
  void Read(std::string_view piece, std::span<const ChosenToken> chosen) override {
    ++pieces;
    text += piece;
    tokens += chosen.size();
    if (on_read) on_read();
  }
  bool Wanted() override { return pieces < wanted_pieces; }

  size_t wanted_pieces = SIZE_MAX;
  size_t pieces = 0;
  size_t tokens = 0;
  std::string text;
  std::function<void()> on_read = {};
};

AnswerRequest RequestFor(const Generator& generator, std::string_view prompt, const GenerateOptions& options) {
  return {.prompt = generator.EncodePrompt(prompt, false), .options = options};
}

// Requests of every kind, other for each number.
AnswerRequest RequestNumber(const Generator& generator, std::span<const std::shared_ptr<const Adapter>> adapters,
                            uint64_t number) {
  SplitMix64 random(number);
  std::string prompt;
  const uint64_t words = random.Below(30);
  for (uint64_t i = 0; i < words; ++i) prompt += random.Below(2) == 0 ? "one two " : "three, ";
  AnswerRequest request = RequestFor(generator, prompt, {});
  request.adapter = adapters[random.Below(adapters.size())];
  GenerateOptions& options = request.options;
  options.max_tokens = static_cast<uint32_t>(1 + random.Below(60));
  options.temperature = static_cast<float>(random.Below(3)) * 0.4f;
  options.top_k = static_cast<uint32_t>(random.Below(2) * 10);
  options.repetition_penalty = random.Below(2) == 0 ? 1.0f : 1.2f;
  options.seed = number;
  options.draft_tokens = static_cast<uint32_t>(random.Below(2) * 8);
  if (random.Below(3) == 0) options.log_probabilities = 2;
  if (random.Below(3) == 0) options.stop = {"e", " t"};
  if (random.Below(4) == 0) {
    options.json = *ParseJsonSchema(R"({"type": "array", "maxItems": 4, "items": {"enum": ["aab", "aac", "b"]}})");
  }
  return request;
}

void ExpectSame(const Generated& together, const Generated& alone) {
  EXPECT_EQ(together.text, alone.text);
  EXPECT_EQ(together.reason, alone.reason);
  EXPECT_EQ(together.prompt_tokens, alone.prompt_tokens);
  EXPECT_EQ(together.answer_tokens, alone.answer_tokens);
  ASSERT_EQ(together.tokens.size(), alone.tokens.size());
  for (size_t i = 0; i < alone.tokens.size(); ++i) {
    EXPECT_EQ(together.tokens[i].chosen.log_probability, alone.tokens[i].chosen.log_probability);
  }
}

// Many threads that ask one thing after another: whatever is computed beside it, an answer is the one given alone.
TEST(AnswerScheduler, AnswersAreThoseGivenAlone) {
  constexpr uint64_t kThreads = 8, kEach = 12;
  for (const bool exact : {false, true}) {
    const auto generator = OpenTiny({.exact = exact, .threads = 2});
    const std::vector<std::shared_ptr<const Adapter>> adapters = {nullptr, AdapterOf(*generator->model(), 1),
                                                                  AdapterOf(*generator->model(), 2)};
    AnswerScheduler scheduler(generator);
    PromptCache cache(1 << 20);
    std::vector<absl::StatusOr<Generated>> answers(kThreads * kEach);
    std::vector<std::string> read(answers.size());
    std::vector<std::thread> threads;
    for (uint64_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (uint64_t i = thread * kEach; i < (thread + 1) * kEach; ++i) {
          Collector reader;
          answers[i] = scheduler.Answer(RequestNumber(*generator, adapters, i), reader, i % 2 == 0 ? &cache : nullptr);
          read[i] = reader.text;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(scheduler.figures().answering, 0u);
    for (uint64_t i = 0; i < answers.size(); ++i) {
      ASSERT_THAT(answers[i], IsOk());
      Collector reader;
      const auto alone = generator->Answer(RequestNumber(*generator, adapters, i), reader);
      ASSERT_THAT(alone, IsOk());
      ExpectSame(*answers[i], *alone);
      EXPECT_EQ(read[i], alone->text);
    }
  }
}

// The others come once the scheduler asks the first for the time, and it waits for them there: from then on a pass serves all.
TEST(AnswerScheduler, OnePassServesAll) {
  constexpr uint32_t kRequests = 6;
  constexpr uint32_t kTokens = AnswerMail::kMostUnread;  // so that no reader is too slow
  const auto generator = OpenTiny();
  AnswerScheduler scheduler(generator);
  const auto caller = std::this_thread::get_id();
  std::latch begun(1);
  std::vector<std::thread> others;
  for (uint32_t i = 1; i < kRequests; ++i) {
    others.emplace_back([&, i] {
      begun.wait();
      Collector reader;
      const GenerateOptions other = {.max_tokens = kTokens, .seed = i, .draft_tokens = 0};
      EXPECT_THAT(scheduler.Answer(RequestFor(*generator, "ab", other), reader), IsOk());
    });
  }
  GenerateOptions options = {.max_tokens = kTokens, .time_budget = std::chrono::hours(1), .draft_tokens = 0};
  options.now = [&] {
    if (std::this_thread::get_id() != caller && !begun.try_wait()) {
      begun.count_down();
      while (scheduler.figures().answering < kRequests) std::this_thread::yield();
    }
    return std::chrono::steady_clock::time_point();
  };
  Collector reader;
  EXPECT_THAT(scheduler.Answer(RequestFor(*generator, "ab", options), reader), IsOk());
  for (std::thread& other : others) other.join();
  const AnswerScheduler::Figures figures = scheduler.figures();
  // The prompt of the first; then those of the others, each pass with a token of all.
  EXPECT_EQ(figures.passes, 1u + kTokens);
  EXPECT_EQ(figures.tokens, kRequests * (3 + kTokens - 1));
}

// The first reader blocks until the second answer is whole, far more tokens than may lie unread.
TEST(AnswerScheduler, ASlowReaderHoldsUpNobodyElse) {
  const auto generator = OpenTiny();
  AnswerScheduler scheduler(generator);
  std::latch first_reads(1), second_done(1);
  std::thread second([&] {
    first_reads.wait();
    Collector reader;
    EXPECT_THAT(scheduler.Answer(RequestFor(*generator, "b", {.max_tokens = 200}), reader), IsOk());
    second_done.count_down();
  });
  Collector reader;
  reader.on_read = [&] {
    if (reader.pieces > 1) return;
    first_reads.count_down();
    second_done.wait();
  };
  const GenerateOptions options = {.max_tokens = 100, .temperature = 1, .seed = 2};
  const auto slow = scheduler.Answer(RequestFor(*generator, "a", options), reader);
  second.join();
  ASSERT_THAT(slow, IsOk());
  Collector alone;
  ExpectSame(*slow, *generator->Answer(RequestFor(*generator, "a", options), alone));
}

TEST(AnswerScheduler, WhoIsNotWantedLeaves) {
  const auto generator = OpenTiny();
  AnswerScheduler scheduler(generator);
  Collector reader;
  reader.wanted_pieces = 3;
  const auto answer = scheduler.Answer(RequestFor(*generator, "hi", {.max_tokens = 300, .draft_tokens = 0}), reader);
  ASSERT_THAT(answer, IsOk());
  EXPECT_EQ(answer->reason, StopReason::kCancelled);
  EXPECT_EQ(answer->text, reader.text);
  EXPECT_LT(answer->answer_tokens, 300u);
  EXPECT_EQ(scheduler.figures().answering, 0u);
  reader.wanted_pieces = 0;
  const auto never = scheduler.Answer(RequestFor(*generator, "hi", {.max_tokens = 300}), reader);
  ASSERT_THAT(never, IsOk());
  EXPECT_EQ(never->reason, StopReason::kCancelled);
}

TEST(AnswerScheduler, ATimeBudgetEndsAnAnswerAsAlone) {
  const auto generator = OpenTiny();
  AnswerScheduler scheduler(generator);
  // Time passes with each look at the clock.
  const auto ask = [&](const auto& answer) {
    GenerateOptions options = {.max_tokens = 100, .time_budget = std::chrono::milliseconds(60)};
    std::atomic<int> looks = 0;
    options.now = [&looks] { return std::chrono::steady_clock::time_point(looks++ * std::chrono::milliseconds(10)); };
    Collector reader;
    const auto made = answer(RequestFor(*generator, "hi", options), reader);
    EXPECT_THAT(made, IsOk());
    return *made;
  };
  const Generated together = ask([&](const auto& request, auto& reader) { return scheduler.Answer(request, reader); });
  EXPECT_EQ(together.reason, StopReason::kTimeBudget);
  EXPECT_EQ(together.answer_tokens, 4u);  // one look for when the prompt was read
  ExpectSame(together, ask([&](const auto& request, auto& reader) { return generator->Answer(request, reader); }));
}

TEST(AnswerScheduler, OnesErrorIsNobodyElses) {
  const auto generator = OpenTiny();
  AnswerScheduler scheduler(generator);
  Collector reader;
  EXPECT_THAT(scheduler.Answer({}, reader), HasStatus(StatusCode::kInvalidArgument, "the prompt is empty"));
  EXPECT_THAT(scheduler.Answer({.prompt = {1, 259}}, reader), HasStatus(StatusCode::kInvalidArgument, "token 259"));
  EXPECT_THAT(scheduler.Answer(RequestFor(*generator, "a", {.max_tokens = 0}), reader),
              HasStatus(StatusCode::kInvalidArgument, "max_tokens"));
  // An adapter of numbers that are too large: the error comes while others are answered.
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 2, .alpha = 4, .targets = {Projection::kDown}},
                                                SizesOf(generator->model()->shape()));
  AnswerRequest broken = RequestFor(*generator, "a", {});
  broken.adapter = std::make_shared<const Adapter>(
      *Adapter::Create(spec, std::vector<float>(spec.a_size(), 3e38f), std::vector<float>(spec.b_size(), 3e38f)));
  std::thread other([&] {
    Collector fine;
    EXPECT_THAT(scheduler.Answer(RequestFor(*generator, "b", {.max_tokens = 100}), fine), IsOk());
  });
  EXPECT_THAT(scheduler.Answer(broken, reader), HasStatus(StatusCode::kInternal, "not finite"));
  other.join();
  EXPECT_EQ(scheduler.figures().answering, 0u);
}

}  // namespace
}  // namespace fleetune
