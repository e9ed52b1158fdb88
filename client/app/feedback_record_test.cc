#include "client/app/feedback_record.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

const ApiMessages kMessages = {{"system", "be kind"}, {"user", "hi"}};

TEST(FeedbackRecord, OfCompletions) {
  EXPECT_EQ(RecordOfFeedback({.prompt = "p", .answer = "a", .correction = ""}), Record(PromptCompletion{"p", "a"}));
  EXPECT_EQ(RecordOfFeedback({.prompt = "p", .answer = "a", .correction = "c"}), Record(Preference{"p", "c", "a"}));
}

TEST(FeedbackRecord, OfChats) {
  const Chat good = {{{"system", "be kind"}, {"user", "hi"}, {"assistant", "a"}}};
  EXPECT_EQ(RecordOfFeedback({.prompt = kMessages, .answer = "a", .correction = ""}), Record(good));
  const Chat corrected = {{{"system", "be kind"}, {"user", "hi"}, {"assistant", "c"}}};
  EXPECT_EQ(RecordOfFeedback({.prompt = kMessages, .answer = "a", .correction = "c"}), Record(corrected));
}

TEST(FeedbackRecord, IsARecordThatCanBeReadAgain) {
  for (const AnswerFeedback& feedback : {AnswerFeedback{.prompt = "", .answer = "a", .correction = "c"},
                                         AnswerFeedback{.prompt = kMessages, .answer = "a\n\"b\"", .correction = ""}}) {
    const Record record = RecordOfFeedback(feedback);
    const auto read = ParseRecord(FormatRecord(record));
    ASSERT_TRUE(read.ok()) << read.status();
    EXPECT_EQ(*read, record);
  }
}

}  // namespace
}  // namespace fleetune
