#include "inference/huggingface/tokenizer_config.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

TEST(TokenizerConfigTest, ReadsBothFormsOfTokens) {
  const auto config = ReadTokenizerConfig(R"({"bos_token": null, "eos_token": {"content": "</s>", "lstrip": false},
    "pad_token": "<pad>", "add_bos_token": true, "add_eos_token": false, "chat_template": "{{ x }}"})");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->bos, std::nullopt);
  EXPECT_EQ(config->eos, "</s>");
  EXPECT_EQ(config->pad, "<pad>");
  EXPECT_EQ(config->adds_bos, true);
  EXPECT_EQ(config->adds_eos, false);
  EXPECT_EQ(config->chat_template, "{{ x }}");
}

TEST(TokenizerConfigTest, AllOfItMayBeAbsent) {
  const auto config = ReadTokenizerConfig("{}");
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->adds_bos, std::nullopt);
  EXPECT_EQ(config->chat_template, "");
}

TEST(TokenizerConfigTest, OfSeveralTemplatesTheDefault) {
  const auto config = ReadTokenizerConfig(
      R"({"chat_template": [{"name": "tool_use", "template": "a"}, {"name": "default", "template": "b"}]})");
  EXPECT_EQ(config->chat_template, "b");
  EXPECT_EQ(ReadTokenizerConfig(R"({"chat_template": [{"name": "tool_use", "template": "a"}]})")->chat_template, "");
}

TEST(TokenizerConfigTest, RefusesByKey) {
  for (const char* text : {R"({"bos_token": 1})", R"({"bos_token": {"content": 1}})"}) {
    EXPECT_THAT(ReadTokenizerConfig(text), HasStatus(kInvalid, "tokenizer_config.json: bos_token")) << text;
  }
  EXPECT_THAT(ReadTokenizerConfig(R"({"add_bos_token": "yes"})"), HasStatus(kInvalid, "add_bos_token"));
  for (const char* text :
       {R"({"chat_template": 1})", R"({"chat_template": [1]})", R"({"chat_template": [{"name": "default"}]})",
        R"({"chat_template": [{"name": "default", "template": 1}]})"}) {
    EXPECT_THAT(ReadTokenizerConfig(text), HasStatus(kInvalid, "tokenizer_config.json: chat_template")) << text;
  }
  EXPECT_THAT(ReadTokenizerConfig("[]"), HasStatus(kInvalid, "tokenizer_config.json: expected a JSON object"));
}

}  // namespace
}  // namespace fleetune
