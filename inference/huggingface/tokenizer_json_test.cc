#include "inference/huggingface/tokenizer_json.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/huggingface_files.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using nlohmann::json;
using testing::ElementsAre;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

json ByteLevel() {
  return {{"added_tokens", {{{"id", 0}, {"content", "<s>"}, {"special", true}}}},
          {"normalizer", nullptr},
          {"pre_tokenizer", ByteLevelSteps("gpt-2")},
          {"post_processor", nullptr},
          {"model",
           {{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", nullptr},
            {"continuing_subword_prefix", ""},
            {"vocab", {{"a", 1}, {"b", 2}, {"ab", 3}}},
            {"merges", {"a b"}}}}};
}

json SentencePiece() {
  json file = ByteLevel();
  file["normalizer"] = SentencePieceSteps();
  file["pre_tokenizer"] = nullptr;
  file["model"]["unk_token"] = "<s>";
  return file;
}

json Template(const json& single) { return {{"type", "TemplateProcessing"}, {"single", single}}; }
json Special(const char* id) { return {{"SpecialToken", {{"id", id}, {"type_id", 0}}}}; }
const json kText = {{"Sequence", {{"id", "A"}, {"type_id", 0}}}};

absl::StatusOr<TokenizerJson> Read(const json& file) { return ReadTokenizerJson(file.dump(), 4); }

TEST(TokenizerJsonTest, ByteLevel) {
  const auto read = Read(ByteLevel());
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->pipeline.pre_tokenizer, "gpt-2");
  EXPECT_EQ(read->merges.size(), 1u);
  EXPECT_TRUE(read->scores.empty());
  EXPECT_EQ(read->unknown, std::nullopt);
  EXPECT_FALSE(read->has_template);
}

TEST(TokenizerJsonTest, SentencePiece) {
  const auto read = Read(SentencePiece());
  ASSERT_THAT(read, IsOk());
  EXPECT_FALSE(read->pipeline.is_byte_level);
  EXPECT_EQ(read->scores.size(), 4u);
  EXPECT_TRUE(read->merges.empty());
  EXPECT_EQ(read->unknown, 0);
  EXPECT_EQ(read->table.types[0], TokenType::kUnknown);
}

TEST(TokenizerJsonTest, ATemplateSaysWhatStandsAroundAText) {
  json file = ByteLevel();
  file["post_processor"] = Template({Special("<s>"), kText, Special("</s>")});
  auto read = Read(file);
  ASSERT_THAT(read, IsOk());
  EXPECT_TRUE(read->has_template);
  EXPECT_EQ(read->before, "<s>");
  EXPECT_EQ(read->after, "</s>");
  file["post_processor"] = {{"type", "Sequence"},
                            {"processors", {{{"type", "ByteLevel"}}, Template(json::array({kText}))}}};
  read = Read(file);
  ASSERT_THAT(read, IsOk());
  EXPECT_TRUE(read->has_template);
  EXPECT_EQ(read->before + read->after, "");
  file["post_processor"] = {{"type", "ByteLevel"}, {"trim_offsets", false}};
  EXPECT_FALSE(Read(file)->has_template);
}

TEST(TokenizerJsonTest, RefusesOtherProcessors) {
  json file = ByteLevel();
  const json cases[] = {
      {{"type", "BertProcessing"}},
      Template(1),
      Template(json::array({1})),
      Template({{{"SpecialToken", 5}}}),
      json(3),
      json::array(),
      {{"type", "Sequence"}, {"processors", {Template(json::array({kText})), Template(json::array({kText}))}}},
      {{"type", "Sequence"}}};
  for (const json& processor : cases) {
    file["post_processor"] = processor;
    EXPECT_THAT(Read(file), HasStatus(kInvalid, "tokenizer.json: post_processor")) << processor;
  }
}

TEST(TokenizerJsonTest, RefusesOtherModelsByName) {
  const std::pair<const char*, json> cases[] = {{"type", "Unigram"},
                                                {"type", nullptr},
                                                {"continuing_subword_prefix", "##"},
                                                {"end_of_word_suffix", "</w>"},
                                                {"dropout", 0.1},
                                                {"unk_token", 5}, {"unk_token", "?"},
                                                {"ignore_merges", "x"},
                                                {"merges", nullptr},
                                                {"vocab", nullptr}};
  for (const auto& [key, value] : cases) {
    json file = ByteLevel();
    file["model"][key] = value;
    EXPECT_THAT(Read(file), HasStatus(kInvalid, std::string("tokenizer.json: model.") + key)) << value;
  }
}

TEST(TokenizerJsonTest, CutAtEveryOffset) {
  for (const std::string& text : {ByteLevel().dump(), SentencePiece().dump()}) {
    for (size_t cut = 0; cut < text.size(); ++cut) {
      EXPECT_THAT(ReadTokenizerJson(std::string_view(text).substr(0, cut), 4), HasStatus(kInvalid, "tokenizer.json"));
    }
  }
}

}  // namespace
}  // namespace fleetune
