#include "client/app/feedback_record.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

const ApiMessages kMessages = {{"system", "be kind"}, {"user", "hi"}};

TEST(FeedbackRecords, OfCompletions) {
  const FeedbackRecords good = RecordsOfFeedback({.prompt = "p", .answer = "a", .correction = ""});
  EXPECT_EQ(good.example, Record(PromptCompletion{"p", "a"}));
  EXPECT_EQ(good.preference, std::nullopt);
  const FeedbackRecords bad = RecordsOfFeedback({.prompt = "p", .answer = "a", .correction = "c"});
  EXPECT_EQ(bad.example, Record(PromptCompletion{"p", "c"}));
  EXPECT_EQ(bad.preference, (Preference{"p", "c", "a"}));
}

TEST(FeedbackRecords, OfChats) {
  const FeedbackRecords good = RecordsOfFeedback({.prompt = kMessages, .answer = "a", .correction = ""});
  EXPECT_EQ(good.example, Record(Chat{{{"system", "be kind"}, {"user", "hi"}, {"assistant", "a"}}}));
  EXPECT_EQ(good.preference, std::nullopt);
  const FeedbackRecords bad = RecordsOfFeedback({.prompt = kMessages, .answer = "a", .correction = "c"});
  EXPECT_EQ(bad.example, Record(Chat{{{"system", "be kind"}, {"user", "hi"}, {"assistant", "c"}}}));
  EXPECT_EQ(bad.preference, (Preference{"", "c", "a", {{"system", "be kind"}, {"user", "hi"}}}));
  const FeedbackRecords went_on =
      RecordsOfFeedback({.prompt = ApiMessages{{"assistant", "It is"}}, .answer = "a", .correction = "c"});
  EXPECT_EQ(went_on.preference, std::nullopt);
}

TEST(FeedbackRecords, CanBeReadAgain) {
  for (const AnswerFeedback& feedback : {AnswerFeedback{.prompt = "", .answer = "a", .correction = "c"},
                                         AnswerFeedback{.prompt = kMessages, .answer = "a\n\"b\"", .correction = "b"}}) {
    const FeedbackRecords records = RecordsOfFeedback(feedback);
    std::vector<Record> all = {records.example};
    if (records.preference.has_value()) all.push_back(*records.preference);
    for (const Record& record : all) {
      const auto read = ParseRecord(FormatRecord(record));
      ASSERT_TRUE(read.ok()) << read.status();
      EXPECT_EQ(*read, record);
    }
  }
}

}  // namespace
}  // namespace fleetune
