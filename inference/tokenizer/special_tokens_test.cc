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

// `trusted`: where each begins, and how long it is.
std::vector<std::pair<std::string, int32_t>> SplitTrusting(std::string_view text,
                                                           const std::vector<std::pair<size_t, size_t>>& trusted) {
  std::vector<std::string_view> views;
  for (const auto& [begin, size] : trusted) views.push_back(text.substr(begin, size));
  const Vocabulary vocabulary = SomeVocabulary();
  std::vector<std::pair<std::string, int32_t>> result;
  for (const auto& fragment : SpecialTokens(vocabulary).Split(text, views)) {
    result.emplace_back(fragment.text, fragment.token);
  }
  return result;
}

std::vector<std::pair<std::string, int32_t>> Split(std::string_view text, bool parse_control) {
  if (!parse_control) return SplitTrusting(text, {});
  return SplitTrusting(text, {{0, text.size()}});
}

TEST(SpecialTokensTest, ControlTokensOnlyWhereTheCallerTrustsTheText) {
  EXPECT_THAT(Split("x<end>y", true), ElementsAre(Pair("x", -1), Pair("<end>", 1), Pair("y", -1)));
  EXPECT_THAT(Split("x<end>y<unk>", false), ElementsAre(Pair("x<end>y<unk>", -1)));
  EXPECT_THAT(Split("<unk>", true), ElementsAre(Pair("<unk>", 5)));
}

TEST(SpecialTokensTest, ControlTokensOnlyWholeInATrustedPart) {
  const std::string_view text = "<end><end><end>";
  EXPECT_THAT(SplitTrusting(text, {{5, 5}}), ElementsAre(Pair("<end>", -1), Pair("<end>", 1), Pair("<end>", -1)));
  EXPECT_THAT(SplitTrusting(text, {{0, 5}, {10, 5}}),
              ElementsAre(Pair("<end>", 1), Pair("<end>", -1), Pair("<end>", 1)));
  EXPECT_THAT(SplitTrusting(text, {{1, 8}}), ElementsAre(Pair(text, -1)));
  EXPECT_THAT(SplitTrusting(text, {{4, 6}}), ElementsAre(Pair("<end>", -1), Pair("<end>", 1), Pair("<end>", -1)));
  EXPECT_THAT(SplitTrusting(text, {{6, 9}}), ElementsAre(Pair("<end><end>", -1), Pair("<end>", 1)));
  EXPECT_THAT(SplitTrusting("<<<end>", {{3, 4}}), ElementsAre(Pair("<<<", 3), Pair("end>", -1)));
}

TEST(SpecialTokensTest, UserDefinedTokensAlwaysAndTheLongestFirst) {
  EXPECT_THAT(Split("<<<<<a", false), ElementsAre(Pair("<<<", 3), Pair("<<", 2), Pair("a", -1)));
  EXPECT_THAT(Split("<", false), ElementsAre(Pair("<", -1)));
}

TEST(SpecialTokensTest, NoTextNoFragments) { EXPECT_THAT(Split("", true), IsEmpty()); }

}  // namespace
}  // namespace fleetune
