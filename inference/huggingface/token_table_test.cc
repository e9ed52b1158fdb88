#include "inference/huggingface/token_table.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using nlohmann::json;
using testing::ElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<TokenTable> Read(const json& vocabulary, const json& added, uint32_t rows) {
  const json file = {{"model", {{"vocab", vocabulary}}}, {"added_tokens", added}};
  return ReadTokenTable(*JsonObject::Parse(file.dump(), "tokenizer.json"), rows);
}

TEST(TokenTableTest, TokensByIdWithTheirTypes) {
  const auto table = Read({{"b", 1}, {"a", 0}, {"<s>", 2}},
                          {{{"id", 2}, {"content", "<s>"}, {"special", true}, {"lstrip", false}},
                           {{"id", 4}, {"content", "<tool>"}, {"special", false}},
                           {{"id", 3}, {"content", "x"}}},
                          6);
  ASSERT_THAT(table, IsOk());
  EXPECT_THAT(table->tokens, ElementsAre("a", "b", "<s>", "x", "<tool>", "[PAD5]"));
  EXPECT_THAT(table->types, ElementsAre(TokenType::kNormal, TokenType::kNormal, TokenType::kControl,
                                        TokenType::kUserDefined, TokenType::kUserDefined, TokenType::kUnused));
  EXPECT_EQ(table->Find("<tool>"), 4);
  EXPECT_EQ(table->Find("[PAD5]"), std::nullopt);
  EXPECT_TRUE(table->IsNormal("a"));
  EXPECT_FALSE(table->IsNormal("<s>"));
}

TEST(TokenTableTest, RefusesIdsThatDoNotFit) {
  EXPECT_THAT(Read({{"a", 0}, {"b", 2}}, nullptr, 2),
              HasStatus(kInvalid, "\"b\": expected an id from 0 to 1, a row of the embedding, got 2"));
  EXPECT_THAT(Read({{"a", -1}}, nullptr, 2), HasStatus(kInvalid, "got -1"));
  EXPECT_THAT(Read({{"a", 0.5}}, nullptr, 2), HasStatus(kInvalid, "got 0.5"));
  EXPECT_THAT(Read({{"a", 0}, {"b", 0}}, nullptr, 2), HasStatus(kInvalid, "\"b\" has the id 0, as \"a\" has"));
  EXPECT_THAT(Read({{"a", 0}}, {{{"id", 9}, {"content", "x"}}}, 2),
              HasStatus(kInvalid, "\"x\": expected an id from 0 to 1"));
}

TEST(TokenTableTest, RefusesWhatIsNoTokenOrTakesMore) {
  EXPECT_THAT(Read(json::array(), nullptr, 2), HasStatus(kInvalid, "model.vocab"));
  EXPECT_THAT(Read(nullptr, nullptr, 2), HasStatus(kInvalid, "model.vocab"));
  EXPECT_THAT(Read({{"a", 0}}, 5, 2), HasStatus(kInvalid, "added_tokens: expected a list"));
  for (const json& token : {json(1), json({{"id", 1}}), json({{"content", "x"}}), json({{"id", 1}, {"content", 1}}),
                            json({{"id", 1}, {"content", ""}})}) {
    EXPECT_THAT(Read({{"a", 0}}, json::array({token}), 2),
                HasStatus(kInvalid, "expected an object with id and content"))
        << token;
  }
  for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
    EXPECT_THAT(Read({{"a", 0}}, {{{"id", 1}, {"content", "x"}, {flag, true}}}, 2),
                HasStatus(kInvalid, std::string("\"x\": ") + flag + " is not supported"));
  }
}

TEST(TokenTableTest, MarksBytesAndTheUnknownToken) {
  auto table = Read({{"<unk>", 0}, {"<0x0A>", 1}, {"<0xFF>", 2}, {"<0xff>", 3}},
                    {{{"id", 0}, {"content", "<unk>"}, {"special", true}}}, 4);
  ASSERT_THAT(table, IsOk());
  MarkSentencePieceTokens(0, *table);
  EXPECT_THAT(table->types, ElementsAre(TokenType::kUnknown, TokenType::kByte, TokenType::kByte, TokenType::kNormal));
}

}  // namespace
}  // namespace fleetune
