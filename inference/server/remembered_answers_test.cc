#include "inference/server/remembered_answers.h"

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

TEST(RememberedAnswers, FindsTheNewestById) {
  RememberedAnswers answers;
  for (size_t i = 0; i <= RememberedAnswers::kMaxAnswers; ++i) {
    answers.Remember({.id = fmt::format("a-{}", i), .prompt = ApiMessages{{"user", "hi"}}, .answer = "yes"});
  }
  EXPECT_THAT(answers.Find("a-0"), HasStatus(StatusCode::kNotFound, "\"a-0\""));
  const auto second = answers.Find("a-1");
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(std::get<ApiMessages>(second->prompt)[0].content, "hi");
  EXPECT_THAT(answers.Find("a-256"), IsOk());
}

TEST(RememberedAnswers, HasALimitOfBytes) {
  RememberedAnswers answers;
  const auto remember = [&](const std::string& id, size_t bytes) {
    answers.Remember({.id = id, .prompt = "", .answer = std::string(bytes - id.size(), 'a')});
  };
  remember("large", RememberedAnswers::kMaxBytes + 1);
  EXPECT_THAT(answers.Find("large"), HasStatus(StatusCode::kNotFound, "large"));
  remember("first", RememberedAnswers::kMaxBytes / 2);
  remember("second", RememberedAnswers::kMaxBytes / 2);
  EXPECT_THAT(answers.Find("first"), IsOk());
  remember("third", 10);
  EXPECT_THAT(answers.Find("first"), HasStatus(StatusCode::kNotFound, "first"));
  EXPECT_THAT(answers.Find("second"), IsOk());
}

}  // namespace
}  // namespace fleetune
