#include "lora/records/record.h"

#include <string>

#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr char kChatLine[] =
    R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},{"role":"assistant","content":"a"}]})";

constexpr char kPreferenceLine[] = R"({"prompt":"p","chosen":"good","rejected":"bad"})";
constexpr char kChatPreferenceLine[] =
    R"({"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"}],"chosen":"good","rejected":"bad"})";

void ExpectRefused(std::string_view line, const char* part) {
  EXPECT_THAT(ParseRecord(line), HasStatus(StatusCode::kInvalidArgument, part)) << line;
}

TEST(ParseRecordTest, ReadsEachKind) {
  EXPECT_EQ(ParseRecord(R"({"text":"a\nä€🦙\u0000"})").value(), Record(PlainText{std::string("a\nä€🦙\0", 12)}));
  EXPECT_EQ(ParseRecord(R"( {"completion":"c", "prompt":""} )").value(), Record(PromptCompletion{"", "c"}));
  EXPECT_EQ(ParseRecord(R"({"question":"q","answer":"a"})").value(), Record(PromptCompletion{"q", "a"}));
  EXPECT_EQ(ParseRecord(kPreferenceLine).value(), Record(Preference{"p", "good", "bad"}));
  const Preference of_a_chat{"", "good", "bad", {{"system", "s"}, {"user", "u"}}};
  EXPECT_EQ(ParseRecord(kChatPreferenceLine).value(), Record(of_a_chat));
  EXPECT_EQ(FormatRecord(of_a_chat), kChatPreferenceLine);
  EXPECT_EQ(ParseRecord(kChatLine).value(), Record(Chat{{{"system", "s"}, {"user", "u"}, {"assistant", "a"}}}));
}

TEST(ParseRecordTest, FormatIsTheInverse) {
  for (const Record& record : {Record(PlainText{"a\n\"ä€🦙\x01"}), Record(PromptCompletion{"", "c\\"}),
                               Record(Chat{{{"user", "u"}, {"assistant", "a"}}}), Record(Preference{"", "ä", "b\n"})}) {
    const std::string line = FormatRecord(record);
    EXPECT_EQ(line.find('\n'), std::string::npos);
    EXPECT_EQ(ParseRecord(line).value(), record) << line;
  }
  EXPECT_EQ(FormatRecord(PromptCompletion{"p", "c"}), R"({"prompt":"p","completion":"c"})");
  EXPECT_EQ(FormatRecord(PlainText{"\xff"}), "{\"text\":\"\xef\xbf\xbd\"}");
}

TEST(ParseRecordTest, RefusesWhatIsNoRecord) {
  ExpectRefused("", "expected one JSON object");
  ExpectRefused("[]", "got array");
  ExpectRefused("3", "got number");
  ExpectRefused("{}", "no such key");
  ExpectRefused(R"({"completion":"c"})", "no such key");
  ExpectRefused(R"({"text":"a"} x)", "expected one JSON object");
  ExpectRefused(R"({"text":1e999})", "number out of range");
}

TEST(ParseRecordTest, RefusesWrongKeysByName) {
  ExpectRefused(R"({"text":"a","id":1})", "unknown key \"id\"");
  ExpectRefused(R"({"Text":"a"})", "unknown key \"Text\"");
  ExpectRefused(R"({"text":"a","prompt":"b"})", "unknown key \"prompt\"");
  ExpectRefused(R"({"prompt":"a","answer":"b"})", "unknown key \"answer\"");
  ExpectRefused(R"({"prompt":"a"})", "\"completion\" is missing");
  ExpectRefused(R"({"question":"a"})", "\"answer\" is missing");
  ExpectRefused(R"({"text":"a","text":"b"})", "repeated");
  ExpectRefused(R"({"messages":[{"role":"assistant","content":"a","content":"b"}]})", "repeated");
}

TEST(ParseRecordTest, RefusesWrongTypesAndEmptyText) {
  ExpectRefused(R"({"text":1})", "\"text\": expected a string, got number");
  ExpectRefused(R"({"text":{"text":"a"}})", "got object");
  ExpectRefused(R"({"text":""})", "\"text\" is empty");
  ExpectRefused(R"({"prompt":"p","completion":""})", "\"completion\" is empty");
  ExpectRefused(R"({"prompt":null,"completion":"c"})", "got null");
  ExpectRefused(R"({"messages":"a"})", "expected an array");
  ExpectRefused(R"({"messages":[]})", "expected one of the assistant");
  ExpectRefused(R"({"messages":[{"role":"user","content":"a"}]})", "expected one of the assistant");
  ExpectRefused(R"({"messages":["a"]})", "\"messages\"[0]: expected an object");
  ExpectRefused(R"({"messages":[{"role":"assistant","content":"a"},{"role":"tool","content":"a"}]})",
                "\"messages\"[1]: \"role\": expected system, user or assistant, got \"tool\"");
  ExpectRefused(R"({"messages":[{"role":"user"}]})", "\"messages\"[0]: \"content\" is missing");
  ExpectRefused(R"({"messages":[{"role":"user","content":"a","name":"b"}]})", "unknown key \"name\"");
}

TEST(ParseRecordTest, APreferenceNeedsTwoDifferentAnswers) {
  EXPECT_THAT(ParseRecord(R"({"prompt":"","chosen":"a","rejected":"b"})"), IsOk());
  ExpectRefused(R"({"prompt":"p","chosen":"a"})", "\"rejected\" is missing");
  ExpectRefused(R"({"prompt":"p","rejected":"a"})", "\"chosen\" is missing");
  ExpectRefused(R"({"chosen":"a","rejected":"b"})", "\"prompt\" is missing");
  ExpectRefused(R"({"prompt":"p","chosen":"","rejected":"b"})", "\"chosen\" is empty");
  ExpectRefused(R"({"prompt":"p","chosen":"a","rejected":""})", "\"rejected\" is empty");
  ExpectRefused(R"({"prompt":"p","chosen":"a","rejected":"a"})", "two different answers");
  ExpectRefused(R"({"prompt":"p","chosen":"a","rejected":["b"]})", "\"rejected\": expected a string, got array");
  ExpectRefused(R"({"prompt":"p","chosen":"a","rejected":"b","completion":"c"})", "unknown key \"completion\"");
  ExpectRefused(R"({"prompt":"p","messages":[{"role":"user","content":"u"}],"chosen":"a","rejected":"b"})", "unknown key \"prompt\"");
  ExpectRefused(R"({"messages":[],"chosen":"a","rejected":"b"})", "turns before an answer");
  ExpectRefused(R"({"messages":[{"role":"assistant","content":"u"}],"chosen":"a","rejected":"b"})", "turns before an answer");
  ExpectRefused(R"({"messages":[{"role":"user"}],"chosen":"a","rejected":"b"})", "\"messages\"[0]: \"content\" is missing");
  ExpectRefused(R"({"messages":[{"role":"user","content":"u"}],"chosen":"a"})", "\"rejected\" is missing");
}

TEST(ParseRecordTest, RefusesWhatIsNotUtf8AndQuotesNothing) {
  ExpectRefused("{\"text\":\"\xff\"}", "UTF-8");
  ExpectRefused("{\"text\":\"\xed\xa0\x80\"}", "UTF-8");
  ExpectRefused(R"({"text":"\ud800"})", "UTF-8");
  EXPECT_EQ(std::string(ParseRecord("{\"text\":\"secret\xff\"}").status().message()).find("secret"),
            std::string::npos);
}

TEST(ParseRecordTest, EveryTruncationIsRefused) {
  for (const std::string line : {kChatLine, kPreferenceLine, kChatPreferenceLine}) {
    for (size_t size = 0; size < line.size(); ++size) {
      EXPECT_THAT(ParseRecord(line.substr(0, size)), HasStatus(StatusCode::kInvalidArgument, "")) << size;
    }
  }
}

TEST(ParseRecordTest, ARecordMayHaveKMaxRecordBytesAndNoMore) {
  const std::string text(kMaxRecordBytes - std::string(R"({"text":""})").size(), 'a');
  EXPECT_THAT(ParseRecord(R"({"text":")" + text + "\"}"), IsOk());
  EXPECT_THAT(ParseRecord(R"({"text":"a)" + text + "\"}"),
              HasStatus(StatusCode::kResourceExhausted, "at most 1048576"));
}

TEST(ParseRecordTest, DeepNestingIsRefusedNotACrash) {
  constexpr size_t kDepth = kMaxRecordBytes / 2 - 16;
  ExpectRefused(std::string(kDepth, '['), "expected one JSON object");
  ExpectRefused(std::string(kDepth, '[') + std::string(kDepth, ']'), "got array");
  ExpectRefused("{\"text\":" + std::string(kDepth, '[') + std::string(kDepth, ']') + "}", "got array");
}

}  // namespace
}  // namespace fleetune
