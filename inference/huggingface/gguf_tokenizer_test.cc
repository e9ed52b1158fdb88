#include "inference/huggingface/gguf_tokenizer.h"

#include "gtest/gtest.h"
#include "inference/tokenizer/tokenizer.h"
#include "tests/support/huggingface_files.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using nlohmann::json;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TokenizerJson SmallTokenizer(const std::string& before = "", bool has_template = false) {
  const json file = {
      {"added_tokens",
       {{{"id", 0}, {"content", "<s>"}, {"special", true}}, {{"id", 1}, {"content", "</s>"}, {"special", true}}}},
      {"pre_tokenizer", ByteLevelSteps("gpt-2")},
      {"model", {{"type", "BPE"}, {"vocab", {{"a", 2}, {"b", 3}, {"ab", 4}}}, {"merges", {"a b"}}}}};
  auto tokenizer = ReadTokenizerJson(file.dump(), 5);
  EXPECT_THAT(tokenizer, IsOk());
  tokenizer->before = before;
  tokenizer->has_template = has_template;
  return *std::move(tokenizer);
}

absl::StatusOr<std::shared_ptr<const GgufFile>> Written(const TokenizerJson& tokenizer, const TokenizerConfig& config,
                                                        const ModelConfig& model = {}) {
  GgufWriter writer;
  const absl::Status status = AddTokenizer(tokenizer, config, model, writer);
  if (!status.ok()) return status;
  return GgufFile::FromBytes(writer.Finish());
}

TEST(GgufTokenizerTest, TokensHaveTheirPurpose) {
  const auto file = Written(
      SmallTokenizer(),
      {.bos = "<s>", .eos = "</s>", .pad = "</s>", .adds_bos = true, .adds_eos = true, .chat_template = "{{ x }}"});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(*(*file)->GetUint("tokenizer.ggml.bos_token_id"), 0u);
  EXPECT_EQ(*(*file)->GetUint("tokenizer.ggml.eos_token_id"), 1u);
  EXPECT_EQ(*(*file)->GetUint("tokenizer.ggml.padding_token_id"), 1u);
  EXPECT_TRUE(*(*file)->GetBool("tokenizer.ggml.add_bos_token"));
  EXPECT_TRUE(*(*file)->GetBool("tokenizer.ggml.add_eos_token"));
  EXPECT_EQ(*(*file)->GetString("tokenizer.chat_template"), "{{ x }}");
  const auto tokenizer = Tokenizer::FromGguf(**file);
  ASSERT_THAT(tokenizer, IsOk());
  EXPECT_EQ((*tokenizer)->Encode("abb", {.add_bos = true}), (std::vector<int32_t>{0, 4, 3}));
}

TEST(GgufTokenizerTest, TheModelsIdsServeWhereNoNameDoes) {
  const auto file = Written(SmallTokenizer(), {.eos = "<s>"}, {.shape = {}, .bos = 1, .eos = 2});
  ASSERT_THAT(file, IsOk());
  EXPECT_EQ(*(*file)->GetUint("tokenizer.ggml.bos_token_id"), 1u);
  EXPECT_EQ(*(*file)->GetUint("tokenizer.ggml.eos_token_id"), 0u);
  EXPECT_EQ((*file)->FindValue("tokenizer.ggml.padding_token_id"), nullptr);
  EXPECT_EQ((*file)->FindValue("tokenizer.ggml.add_bos_token"), nullptr);
  EXPECT_EQ((*file)->FindValue("tokenizer.chat_template"), nullptr);
}

TEST(GgufTokenizerTest, TheTemplateSaysWhetherBosComesFirst) {
  const TokenizerConfig config = {.bos = "<s>"};
  EXPECT_TRUE(*(*Written(SmallTokenizer("<s>", true), config))->GetBool("tokenizer.ggml.add_bos_token"));
  EXPECT_FALSE(*(*Written(SmallTokenizer("", true), config))->GetBool("tokenizer.ggml.add_bos_token"));
  EXPECT_FALSE(*(*Written(SmallTokenizer("<s>", true), {.bos = "<s>", .adds_bos = false}))
                    ->GetBool("tokenizer.ggml.add_bos_token"));
  EXPECT_THAT(Written(SmallTokenizer("</s>", true), config),
              HasStatus(kInvalid, "expected nothing or BOS before a text, got \"</s>\""));
  EXPECT_THAT(Written(SmallTokenizer("<s>", true), {}), HasStatus(kInvalid, "post_processor"));
}

TEST(GgufTokenizerTest, RefusesNamesThatAreNoTokens) {
  EXPECT_THAT(Written(SmallTokenizer(), {.bos = "<bos>"}),
              HasStatus(kInvalid, "bos_token: expected a token of tokenizer.json, got \"<bos>\""));
  EXPECT_THAT(Written(SmallTokenizer(), {.eos = "<eos>"}), HasStatus(kInvalid, "eos_token"));
}

}  // namespace
}  // namespace fleetune
