#include "inference/huggingface/text_pipeline.h"

#include "gtest/gtest.h"
#include "tests/support/huggingface_files.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using nlohmann::json;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

absl::StatusOr<TextPipeline> Read(const json& normalizer, const json& pre_tokenizer,
                                  const json& model = json::object()) {
  const json file = {{"normalizer", normalizer}, {"pre_tokenizer", pre_tokenizer}, {"model", model}};
  const auto parsed = JsonObject::Parse(file.dump(), "tokenizer.json");
  EXPECT_THAT(parsed, IsOk());
  return ReadTextPipeline(*parsed);
}

json Metaspace(const json& scheme, const json& split) {
  return {{"type", "Metaspace"}, {"replacement", "▁"}, {"prepend_scheme", scheme}, {"split", split}};
}

TEST(TextPipelineTest, ByteLevelOnesByTheirExpressions) {
  for (const char* name : {"gpt-2", "smollm", "qwen2"}) {
    const auto pipeline = Read(nullptr, ByteLevelSteps(name));
    ASSERT_THAT(pipeline, IsOk());
    EXPECT_TRUE(pipeline->is_byte_level);
    EXPECT_EQ(pipeline->pre_tokenizer, name);
  }
  EXPECT_THAT(Read({{"type", "NFC"}}, ByteLevelSteps("qwen2")), IsOk());
  EXPECT_THAT(Read({{"type", "Sequence"}, {"normalizers", json::array()}}, ByteLevelSteps("gpt-2")), IsOk());
}

TEST(TextPipelineTest, Llama3MustKeepWholeTokens) {
  json steps = ByteLevelSteps("qwen2");
  steps["pretokenizers"][0]["pattern"]["Regex"] =
      R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
  EXPECT_EQ(Read(nullptr, steps, {{"ignore_merges", true}})->pre_tokenizer, "llama-bpe");
  EXPECT_THAT(Read(nullptr, steps), HasStatus(kInvalid, "with ignore_merges as it has it"));
  EXPECT_THAT(Read(nullptr, ByteLevelSteps("qwen2"), {{"ignore_merges", true}}), HasStatus(kInvalid, "pre_tokenizer"));
}

TEST(TextPipelineTest, RefusesByteLevelStepsThatNoGgufTokenizerHas) {
  const auto changed = [](const char* key, json value) {
    json steps = ByteLevelSteps("qwen2");
    steps["pretokenizers"][0][key] = std::move(value);
    return Read(nullptr, steps);
  };
  EXPECT_THAT(changed("pattern", {{"Regex", "."}}), HasStatus(kInvalid, "expected the expressions of a known model"));
  EXPECT_THAT(changed("pattern", {{"String", " "}}), HasStatus(kInvalid, "pre_tokenizer"));
  EXPECT_THAT(changed("pattern", nullptr), HasStatus(kInvalid, "pre_tokenizer"));
  EXPECT_THAT(changed("behavior", "Removed"), HasStatus(kInvalid, "\"behavior\":\"Removed\""));
  EXPECT_THAT(changed("invert", true), HasStatus(kInvalid, "pre_tokenizer"));
  EXPECT_THAT(changed("type", "Whitespace"), HasStatus(kInvalid, "pre_tokenizer"));
  json steps = ByteLevelSteps("gpt-2");
  steps["add_prefix_space"] = true;
  EXPECT_THAT(Read(nullptr, steps), HasStatus(kInvalid, "without add_prefix_space"));
  steps.erase("add_prefix_space");  // true is its default
  EXPECT_THAT(Read(nullptr, steps), HasStatus(kInvalid, "without add_prefix_space"));
  steps = ByteLevelSteps("smollm");
  std::swap(steps["pretokenizers"][0], steps["pretokenizers"][1]);
  EXPECT_THAT(Read(nullptr, steps), HasStatus(kInvalid, "ByteLevel as the last step"));
  EXPECT_THAT(Read({{"type", "Lowercase"}}, ByteLevelSteps("gpt-2")),
              HasStatus(kInvalid, "normalizer: expected none, or NFC"));
  EXPECT_THAT(Read(nullptr, {{"type", "Sequence"}}), HasStatus(kInvalid, "a sequence with pretokenizers"));
  EXPECT_THAT(Read(nullptr, {{"type", "Sequence"}, {"pretokenizers", std::vector<int>(101, 1)}}),
              HasStatus(kInvalid, "a sequence with pretokenizers"));
}

TEST(TextPipelineTest, SentencePiecesSpaces) {
  const auto steps = Read(SentencePieceSteps(), nullptr);
  ASSERT_THAT(steps, IsOk());
  EXPECT_FALSE(steps->is_byte_level);
  EXPECT_TRUE(steps->adds_space);
  json without = SentencePieceSteps();
  without["normalizers"].erase(0);
  EXPECT_FALSE(Read(without, nullptr)->adds_space);
  EXPECT_FALSE(Read(without["normalizers"][0], nullptr)->adds_space);  // one step needs no sequence
  EXPECT_TRUE(Read(nullptr, Metaspace("first", false))->adds_space);
  EXPECT_TRUE(Read(nullptr, Metaspace("always", false))->adds_space);
  EXPECT_FALSE(Read(nullptr, Metaspace("never", false))->adds_space);
}

TEST(TextPipelineTest, RefusesWhatSentencePieceDoesNotDo) {
  EXPECT_THAT(Read(nullptr, nullptr), HasStatus(kInvalid, "spaces that become U+2581; got neither"));
  EXPECT_THAT(Read({{"type", "Prepend"}, {"prepend", "▁"}}, nullptr), HasStatus(kInvalid, "got neither"));
  EXPECT_THAT(Read({{"type", "Prepend"}, {"prepend", "_"}}, nullptr), HasStatus(kInvalid, "normalizer"));
  EXPECT_THAT(Read({{"type", "NFKC"}}, nullptr), HasStatus(kInvalid, "normalizer"));
  EXPECT_THAT(Read(7, nullptr), HasStatus(kInvalid, "normalizer"));
  EXPECT_THAT(Read(nullptr, Metaspace("first", true)), HasStatus(kInvalid, "that does not split"));
  EXPECT_THAT(Read(nullptr, Metaspace("sometimes", false)), HasStatus(kInvalid, "pre_tokenizer"));
  EXPECT_THAT(Read(SentencePieceSteps(), {{"type", "Whitespace"}}), HasStatus(kInvalid, "pre_tokenizer"));
}

}  // namespace
}  // namespace fleetune
