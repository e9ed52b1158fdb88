#include "coordinator/rpc/fields.h"

#include "coordinator/rpc/message_limits.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(FieldsTest, DigestHas32Bytes) {
  EXPECT_THAT(DigestField("hash", std::string(32, 'x')), IsOk());
  EXPECT_THAT(DigestField("hash", std::string(31, 'x')), HasStatus(kInvalid, "hash: expected 32 bytes, got 31"));
  EXPECT_THAT(DigestField("hash", std::string(33, 'x')), HasStatus(kInvalid, "got 33"));
  EXPECT_THAT(DigestField("hash", ""), HasStatus(kInvalid, "got 0"));
  const std::string bytes(32, '\x7f');
  EXPECT_EQ(ToBytesField(*DigestField("hash", bytes)), bytes);
}

TEST(FieldsTest, NamesHaveLengthAndCharacters) {
  EXPECT_THAT(CheckNameField("task", "house-1_a.B"), IsOk());
  EXPECT_THAT(CheckNameField("task", std::string(kMaxNameBytes, 'a')), IsOk());
  EXPECT_THAT(CheckNameField("task", std::string(kMaxNameBytes + 1, 'a')), HasStatus(kInvalid, "task: expected 1 to 64"));
  EXPECT_THAT(CheckNameField("task", ""), HasStatus(kInvalid, "got 0"));
  EXPECT_THAT(CheckNameField("task", "a/b"), HasStatus(kInvalid, "only letters"));
  EXPECT_THAT(CheckNameField("task", std::string("a\0b", 3)), HasStatus(kInvalid, "only letters"));
  EXPECT_THAT(CheckOptionalNameField("task", ""), IsOk());
  EXPECT_THAT(CheckOptionalNameField("task", "a b"), HasStatus(kInvalid, "task"));
}

TEST(FieldsTest, WordsHaveLengthAndNoControlCharacters) {
  EXPECT_THAT(CheckWordsField("reason", "", 4), IsOk());
  EXPECT_THAT(CheckWordsField("reason", "a b!", 4), IsOk());
  EXPECT_THAT(CheckWordsField("reason", "a b!?", 4), HasStatus(kInvalid, "at most 4 bytes, got 5"));
  EXPECT_THAT(CheckWordsField("reason", "a\nb", 4), HasStatus(kInvalid, "control"));
  EXPECT_THAT(CheckWordsField("reason", "\x7f", 4), HasStatus(kInvalid, "control"));
}

TEST(FieldsTest, TagsAreFewAndDifferent) {
  google::protobuf::RepeatedPtrField<std::string> tags;
  EXPECT_THAT(TagsField("tags", tags), IsOk());
  for (size_t i = 0; i < kMaxDeviceTags; ++i) *tags.Add() = "t" + std::to_string(i);
  EXPECT_THAT(TagsField("tags", tags), IsOk());
  *tags.Add() = "one-more";
  EXPECT_THAT(TagsField("tags", tags), HasStatus(kInvalid, "at most 32"));
  tags.Clear();
  *tags.Add() = "home";
  *tags.Add() = "home";
  EXPECT_THAT(TagsField("tags", tags), HasStatus(kInvalid, "twice"));
  tags.Clear();
  *tags.Add() = "a b";
  EXPECT_THAT(TagsField("tags", tags), HasStatus(kInvalid, "only letters"));
}

TEST(FieldsTest, RangesIncludeTheirEnds) {
  EXPECT_THAT(CheckRangeField("uses", 1, 1, 5), IsOk());
  EXPECT_THAT(CheckRangeField("uses", 5, 1, 5), IsOk());
  EXPECT_THAT(CheckRangeField("uses", 0, 1, 5), HasStatus(kInvalid, "uses: expected 1 to 5, got 0"));
  EXPECT_THAT(CheckRangeField("uses", 6, 1, 5), HasStatus(kInvalid, "got 6"));
}

}  // namespace
}  // namespace fleetune
