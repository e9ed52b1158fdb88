#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "lora/records/record.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;

std::string WriteTestFile(const std::string& name, const std::string& content) {
  static const TempFolder folder;
  const std::string path = folder.File(name);
  std::ofstream(path, std::ios::binary) << content;
  return path;
}

TEST(ParseRecordsTest, ARecordALine) {
  EXPECT_THAT(ParseRecords("\xef\xbb\xbf{\"text\":\"a\"}\r\n\n{\"prompt\":\"p\",\"completion\":\"c\"}").value(),
              ElementsAre(Record(PlainText{"a"}), Record(PromptCompletion{"p", "c"})));
}

TEST(ParseRecordsTest, ErrorsNameTheLine) {
  EXPECT_THAT(ParseRecords("{\"text\":\"a\"}\n\n{\"text\":2}\n"),
              HasStatus(StatusCode::kInvalidArgument, "line 3: \"text\": expected a string"));
  EXPECT_THAT(ParseRecords("{\"text\":\"" + std::string(kMaxRecordBytes, 'a') + "\"}"),
              HasStatus(StatusCode::kResourceExhausted, "line 1: "));
  EXPECT_THAT(ParseRecords(""), HasStatus(StatusCode::kInvalidArgument, "got none"));
  EXPECT_THAT(ParseRecords("\n \n"), HasStatus(StatusCode::kInvalidArgument, "got none"));
}

TEST(ParseRecordsTest, ATruncatedFileIsRefusedUnlessWholeLinesAreLeft) {
  const std::string text = "{\"text\":\"a\"}\n{\"text\":\"b\"}\n";
  for (size_t size = 0; size <= text.size(); ++size) {
    const bool is_whole = size == 12 || size == 13 || size >= 25;
    EXPECT_EQ(ParseRecords(text.substr(0, size)).ok(), is_whole) << size;
  }
}

TEST(ParseParagraphsTest, BlankLinesSeparate) {
  EXPECT_THAT(ParseParagraphs("\n\na\nb\r\n \t\n\nc").value(),
              ElementsAre(Record(PlainText{"a\nb"}), Record(PlainText{"c"})));
  EXPECT_THAT(ParseParagraphs("\xef\xbb\xbf" "a\n").value(), ElementsAre(Record(PlainText{"a"})));
}

TEST(ParseParagraphsTest, Refuses) {
  EXPECT_THAT(ParseParagraphs(""), HasStatus(StatusCode::kInvalidArgument, "got none"));
  EXPECT_THAT(ParseParagraphs(" \n\n"), HasStatus(StatusCode::kInvalidArgument, "got none"));
  EXPECT_THAT(ParseParagraphs("a\n\n\xff\n"), HasStatus(StatusCode::kInvalidArgument, "line 4: expected UTF-8"));
  EXPECT_THAT(ParseParagraphs(std::string(kMaxRecordBytes, 'a')), IsOk());
  EXPECT_THAT(ParseParagraphs(std::string(kMaxRecordBytes + 1, 'a')),
              HasStatus(StatusCode::kResourceExhausted, "1048577 bytes"));
}

TEST(ReadRecordsTest, ByTheNamesEnding) {
  EXPECT_THAT(ReadRecords(WriteTestFile("a.jsonl", "{\"text\":\"a\"}\n")).value(),
              ElementsAre(Record(PlainText{"a"})));
  EXPECT_THAT(ReadRecords(WriteTestFile("a.txt", "a\n\nb\n")).value(),
              ElementsAre(Record(PlainText{"a"}), Record(PlainText{"b"})));
  EXPECT_THAT(ReadRecords(WriteTestFile("a.json", "{}")), HasStatus(StatusCode::kInvalidArgument, ".jsonl or .txt"));
}

TEST(ReadRecordsTest, ErrorsNameTheFile) {
  EXPECT_THAT(ReadRecords(WriteTestFile("bad.jsonl", "x")), HasStatus(StatusCode::kInvalidArgument, "bad.jsonl: line 1"));
  EXPECT_THAT(ReadRecords("/does/not/exist.txt"), HasStatus(StatusCode::kNotFound, "exist.txt"));
}

TEST(ReadRecordsTest, ReadsRealRecordsAndTextsWhole) {
  const std::string data = FLEETUNE_TEST_DATA;
  if (!std::filesystem::exists(data + "/README.md")) GTEST_SKIP() << "no test data";
  const auto questions = ReadRecords(data + "/instruct/gsm8k_test.jsonl");
  ASSERT_THAT(questions, IsOk());
  EXPECT_EQ(questions->size(), 1319u);
  for (const Record& record : *questions) {
    ASSERT_TRUE(std::holds_alternative<PromptCompletion>(record));
    ASSERT_EQ(ParseRecord(FormatRecord(record)).value(), record);
  }
  EXPECT_GT(ReadRecords(data + "/shakespeare/romeo.txt").value().size(), 50u);
}

}  // namespace
}  // namespace fleetune
