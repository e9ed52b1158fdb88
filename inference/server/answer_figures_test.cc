#include "inference/server/answer_figures.h"

#include <thread>
#include <vector>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

Generated SomeAnswer() {
  return {.text = "yes",
          .prompt_tokens = 30,
          .cached_tokens = 10,
          .answer_tokens = 8,
          .read_time = milliseconds(40),
          .write_time = milliseconds(159)};
}

TEST(AnswerFigures, KnowNothingBeforeThereIsAnAnswer) {
  const AnswerFigures none = AnswerCounter(milliseconds(200)).figures();
  EXPECT_EQ(none, AnswerFigures{});
  EXPECT_FALSE(none.reading_speed() || none.writing_speed() || none.share_in_budget());
}

TEST(AnswerFigures, AreTokensOverTheTimeOfEach) {
  AnswerCounter counter(milliseconds(200));
  counter.Count(SomeAnswer());
  const AnswerFigures figures = counter.figures();
  EXPECT_EQ(figures.answers, 1u);
  EXPECT_DOUBLE_EQ(*figures.reading_speed(), 20 / 0.040);  // kept tokens were not read
  EXPECT_DOUBLE_EQ(*figures.writing_speed(), 8 / 0.159);
  EXPECT_DOUBLE_EQ(*figures.share_in_budget(), 1);
  const AnswerFigures twice = figures + figures;
  counter.Count(SomeAnswer());
  EXPECT_EQ(counter.figures(), twice);
}

TEST(AnswerFigures, WhatTakesTheWholeBudgetIsNotInside) {
  AnswerCounter counter(milliseconds(200));
  Generated answer = SomeAnswer();
  counter.Count(answer);
  answer.write_time = milliseconds(160);
  counter.Count(answer);
  // Its own, smaller budget ended it.
  answer.reason = StopReason::kTimeBudget;
  answer.write_time = milliseconds(10);
  counter.Count(answer);
  EXPECT_DOUBLE_EQ(*counter.figures().share_in_budget(), 2.0 / 3);
  AnswerCounter unlimited(milliseconds(0));
  answer.write_time = milliseconds(100'000);
  unlimited.Count(answer);
  EXPECT_DOUBLE_EQ(*unlimited.figures().share_in_budget(), 1);
}

TEST(AnswerFigures, LeaveOutWhatNobodyWantedAndPromptsThatWereNotReadToTheirEnd) {
  AnswerCounter counter(milliseconds(200));
  Generated answer = SomeAnswer();
  answer.reason = StopReason::kCancelled;
  counter.Count(answer);
  EXPECT_EQ(counter.figures(), AnswerFigures{});
  answer.reason = StopReason::kTimeBudget;
  answer.answer_tokens = 0;
  answer.read_time = milliseconds(200);
  answer.write_time = milliseconds(0);
  counter.Count(answer);
  EXPECT_EQ(counter.figures(), (AnswerFigures{.answers = 1}));
}

TEST(AnswerFigures, AreCountedByManyThreads) {
  AnswerCounter counter(milliseconds(200));
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&counter] {
      for (int j = 0; j < 250; ++j) counter.Count(SomeAnswer());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(counter.figures().answers, 1000u);
  EXPECT_EQ(counter.figures().written_tokens, 8000u);
}

}  // namespace
}  // namespace fleetune
