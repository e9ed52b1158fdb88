#include "inference/huggingface/merges.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::Pair;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<std::vector<TokenMerge>> Read(const json& merges) {
  return ReadMerges(*JsonObject::Parse(json({{"merges", merges}}).dump(), "tokenizer.json"));
}

TokenTable TableOf(const std::vector<std::string>& tokens) {
  json vocabulary;
  for (size_t id = 0; id < tokens.size(); ++id) vocabulary[tokens[id]] = id;
  const json file = {{"model", {{"vocab", vocabulary}}}};
  auto table = ReadTokenTable(*JsonObject::Parse(file.dump(), "tokenizer.json"), static_cast<uint32_t>(tokens.size()));
  EXPECT_THAT(table, IsOk());
  return *std::move(table);
}

TEST(MergesTest, InBothForms) {
  const auto merges = Read({"a b", {"ab", "c"}, "  d"});
  ASSERT_THAT(merges, IsOk());
  EXPECT_THAT(*merges, ElementsAre(Pair("a", "b"), Pair("ab", "c"), Pair(" ", "d")));
}

TEST(MergesTest, RefusesWhatIsNoPair) {
  for (const json& merge : {json("ab"), json(""), json("a "), json(" a"), json(1), json({"a"}), json({"a", "b", "c"}),
                            json({"a", 1}), json({"", "b"})}) {
    EXPECT_THAT(Read(json::array({merge})), HasStatus(kInvalid, "model.merges: expected two tokens, got")) << merge;
  }
  EXPECT_THAT(Read(5), HasStatus(kInvalid, "merges: expected a list"));
  EXPECT_THAT(Read(nullptr), HasStatus(kInvalid, "merges: expected a list, got nothing"));
}

TEST(MergesTest, WhatIsMadeFirstHasTheBestScore) {
  const TokenTable table = TableOf({"a", "b", "c", "ab", "bc", "abc"});
  const auto scores = ScoresOf({{"b", "c"}, {"a", "b"}, {"a", "bc"}, {"ab", "c"}}, table);
  ASSERT_THAT(scores, IsOk());
  EXPECT_THAT(*scores, ElementsAre(0, 0, 0, -1, 0, -2));
}

TEST(MergesTest, RefusesMergesThatNoScoresStandFor) {
  const TokenTable table = TableOf({"a", "b", "c", "ab", "bc", "abc"});
  // Whoever knows only tokens and scores would join ab and c.
  EXPECT_THAT(ScoresOf({{"b", "c"}, {"a", "b"}, {"a", "bc"}}, table),
              HasStatus(kInvalid, R"(a merge of "ab" and "c", since "abc")"));
  EXPECT_THAT(ScoresOf({{"a", "bc"}, {"a", "b"}, {"b", "c"}, {"ab", "c"}}, table),
              HasStatus(kInvalid, "do not follow each other"));
  EXPECT_THAT(ScoresOf({{"a", "c"}}, table), HasStatus(kInvalid, R"(got "a" and "c")"));
  EXPECT_THAT(ScoresOf({{"x", "c"}}, table), HasStatus(kInvalid, R"(got "x" and "c")"));
}

TEST(MergesTest, TokensOfOneScoreAreMadeInTurns) {
  const TokenTable table = TableOf({"a", "aa", "aaa", "aaaa", "b", "ab"});
  const std::vector<TokenMerge> largest_first = {{"a", "b"},   {"aaa", "a"}, {"aa", "aa"}, {"aa", "a"},
                                                 {"a", "aaa"}, {"a", "aa"},  {"a", "a"}};
  const auto scores = ScoresOf(largest_first, table);
  ASSERT_THAT(scores, IsOk());
  EXPECT_THAT(*scores, ElementsAre(0, -2, -1, -1, 0, 0));  // aa once the others are made
  std::vector<TokenMerge> unsorted = largest_first;
  std::swap(unsorted[2], unsorted[3]);
  EXPECT_THAT(ScoresOf(unsorted, table), HasStatus(kInvalid, "do not follow each other"));
}

TEST(MergesTest, CharactersAreNotCut) {
  const TokenTable table = TableOf({"é", "▁", "▁é"});
  EXPECT_THAT(ScoresOf({{"▁", "é"}}, table), IsOk());
  EXPECT_THAT(ScoresOf({}, table), HasStatus(kInvalid, "\\u2581\\u00e9"));
}

}  // namespace
}  // namespace fleetune
