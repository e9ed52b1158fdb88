#include "inference/tokenizer/special_tokens.h"

#include <string>

#include "gmock/gmock.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

Vocabulary SomeVocabulary() {
  Vocabulary vocabulary;
  vocabulary.tokens = {"a", "<end>", "<<", "<<<", "", "<unk>"};
  vocabulary.types = {TokenType::kNormal,      TokenType::kControl,     TokenType::kUserDefined,
                      TokenType::kUserDefined, TokenType::kUserDefined, TokenType::kUnknown};
  return vocabulary;
}

std::vector<std::pair<std::string, int32_t>> Split(std::string_view text, bool parse_control) {
  const Vocabulary vocabulary = SomeVocabulary();
  std::vector<std::pair<std::string, int32_t>> result;
  for (const auto& fragment : SpecialTokens(vocabulary).Split(text, parse_control)) {
    result.emplace_back(fragment.text, fragment.token);
  }
  return result;
}

TEST(SpecialTokensTest, ControlTokensOnlyWhereTheCallerTrustsTheText) {
  EXPECT_THAT(Split("x<end>y", true), ElementsAre(Pair("x", -1), Pair("<end>", 1), Pair("y", -1)));
  EXPECT_THAT(Split("x<end>y<unk>", false), ElementsAre(Pair("x<end>y<unk>", -1)));
  EXPECT_THAT(Split("<unk>", true), ElementsAre(Pair("<unk>", 5)));
}

TEST(SpecialTokensTest, UserDefinedTokensAlwaysAndTheLongestFirst) {
  EXPECT_THAT(Split("<<<<<a", false), ElementsAre(Pair("<<<", 3), Pair("<<", 2), Pair("a", -1)));
  EXPECT_THAT(Split("<", false), ElementsAre(Pair("<", -1)));
}

TEST(SpecialTokensTest, NoTextNoFragments) { EXPECT_THAT(Split("", true), IsEmpty()); }

}  // namespace
}  // namespace fleetune
