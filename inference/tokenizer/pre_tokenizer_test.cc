#include "inference/tokenizer/pre_tokenizer.h"

#include <string>

#include "gmock/gmock.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string_view> Split(std::string_view name, std::string_view text) {
  return PreTokenizer::FromName(name).value().Split(text);
}

TEST(PreTokenizerTest, RefusesAnUnknownNameAndListsTheKnown) {
  EXPECT_THAT(PreTokenizer::FromName("klingon"), HasStatus(absl::StatusCode::kInvalidArgument, "\"klingon\""));
  EXPECT_THAT(PreTokenizer::FromName(""), HasStatus(absl::StatusCode::kInvalidArgument, "llama-bpe"));
}

TEST(PreTokenizerTest, LastSpaceOfARunStaysWithTheWord) {
  EXPECT_THAT(Split("gpt-2", "it's  2 be"), ElementsAre("it", "'s", " ", " 2", " be"));
  EXPECT_THAT(Split("gpt-2", "a\nb"), ElementsAre("a", "\n", "b"));
  EXPECT_THAT(Split("gpt-2", "a \n "), ElementsAre("a", " \n "));
}

TEST(PreTokenizerTest, FamiliesCutNumbersEachInItsWay) {
  EXPECT_THAT(Split("gpt-2", " 12345"), ElementsAre(" 12345"));
  EXPECT_THAT(Split("smollm", "12"), ElementsAre("1", "2"));
  EXPECT_THAT(Split("qwen2", "12"), ElementsAre("1", "2"));
  EXPECT_THAT(Split("llama-bpe", "12345"), ElementsAre("123", "45"));
  EXPECT_THAT(Split("falcon", "12345"), ElementsAre("123", "45"));
  EXPECT_THAT(Split("deepseek-coder", "a 12"), ElementsAre("a", " ", "1", "2"));
}

TEST(PreTokenizerTest, LettersAndCaseAreUnicode) {
  EXPECT_THAT(Split("qwen2", "I'LL groß"), ElementsAre("I", "'LL", " groß"));
  EXPECT_THAT(Split("gpt-2", "нещо 天"), ElementsAre("нещо", " 天"));
  EXPECT_THAT(Split("gpt-2", "a\xc2\xa0" "b"), ElementsAre("a", "\xc2\xa0", "b"));  // no-break space
}

TEST(PreTokenizerTest, BytesThatAreNotUtf8StandAlone) {
  EXPECT_THAT(Split("gpt-2", "a\xff\xc3" "b"), ElementsAre("a", "\xff", "\xc3", "b"));
  EXPECT_THAT(Split("gpt-2", "\xed\xa0\x80"), ElementsAre("\xed", "\xa0", "\x80"));
  EXPECT_THAT(Split("gpt-2", ""), IsEmpty());
}

TEST(PreTokenizerTest, OnlyLlama3KeepsWholeTokensAndAddsBos) {
  EXPECT_TRUE(PreTokenizer::FromName("llama-bpe").value().keeps_whole_tokens());
  EXPECT_TRUE(PreTokenizer::FromName("llama-bpe").value().adds_bos());
  EXPECT_FALSE(PreTokenizer::FromName("qwen2").value().keeps_whole_tokens());
  EXPECT_FALSE(PreTokenizer::FromName("qwen2").value().adds_bos());
}

// A run that an expression could try from each of its places must not cost its square.
TEST(PreTokenizerTest, LongRunsLoseNothing) {
  for (const char* name : {"default", "gpt-2", "smollm", "qwen2", "llama-bpe", "falcon", "deepseek-coder"}) {
    const PreTokenizer pre_tokenizer = PreTokenizer::FromName(name).value();
    for (const char* unit : {" ", "\n", "a", "7", "!", "é", "'", " \n", "\xff"}) {
      std::string text;
      while (text.size() < 300'000) text += unit;
      text += "x";
      std::string joined;
      for (const std::string_view piece : pre_tokenizer.Split(text)) {
        ASSERT_FALSE(piece.empty());
        joined += piece;
      }
      EXPECT_TRUE(joined == text) << name << " of '" << unit << "'";
    }
  }
}

}  // namespace
}  // namespace fleetune
