#include "lora/formats/peft_config.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::Pair;

// A file as PEFT 0.17 writes it, with `more` as further keys (which win, standing last).
std::string Config(const std::string& more = "") {
  return R"({"alpha_pattern": {}, "auto_mapping": null, "base_model_name_or_path": "some/model",
    "bias": "none", "corda_config": null, "eva_config": null, "exclude_modules": null,
    "fan_in_fan_out": false, "inference_mode": true, "init_lora_weights": true,
    "layer_replication": null, "layers_pattern": null, "layers_to_transform": null,
    "loftq_config": {}, "lora_alpha": 16, "lora_bias": false, "lora_dropout": 0.1,
    "megatron_config": null, "megatron_core": "megatron.core", "modules_to_save": null,
    "peft_type": "LORA", "qalora_group_size": 16, "r": 4, "rank_pattern": {}, "revision": null,
    "target_modules": ["q_proj", "model.layers.0.self_attn.v_proj"], "target_parameters": null,
    "task_type": "CAUSAL_LM", "trainable_token_indices": null, "use_dora": false,
    "use_qalora": false, "use_rslora": false)" + (more.empty() ? "" : ", " + more) + "}";
}

TEST(PeftConfigTest, ReadsWhatPeftWrites) {
  const auto config = ParsePeftConfig(Config());
  ASSERT_THAT(config, IsOk());
  EXPECT_EQ(config->rank, 4u);
  EXPECT_EQ(config->alpha, 16.0);
  EXPECT_FALSE(config->rank_stabilized || config->dora);
  EXPECT_THAT(config->target_modules.names, ElementsAre("q_proj", "model.layers.0.self_attn.v_proj"));
  EXPECT_TRUE(config->exclude_modules.empty() && config->layers_to_transform.empty());
  EXPECT_TRUE(config->rank_pattern.empty() && config->alpha_pattern.empty());
}

TEST(PeftConfigTest, ReadsWhatIsRarelySet) {
  const auto config = ParsePeftConfig(Config(
      R"("use_rslora": true, "use_dora": true, "target_modules": ".*_proj", "exclude_modules": ["lm_head"],
         "layers_to_transform": [0, 2], "layers_pattern": "layers", "bias": "all", "init_lora_weights": "eva",
         "eva_config": {"rho": 2.0}, "rank_pattern": {"q_proj": 8, "v_proj": 2}, "alpha_pattern": {"q_proj": 0.5})"));
  ASSERT_THAT(config, IsOk());
  EXPECT_TRUE(config->rank_stabilized && config->dora);
  EXPECT_EQ(config->target_modules.pattern, ".*_proj");
  EXPECT_THAT(config->exclude_modules.names, ElementsAre("lm_head"));
  EXPECT_THAT(config->layers_to_transform, ElementsAre(0, 2));
  EXPECT_THAT(config->rank_pattern, ElementsAre(Pair("q_proj", 8), Pair("v_proj", 2)));
  EXPECT_THAT(config->alpha_pattern, ElementsAre(Pair("q_proj", 0.5)));
  const auto one_layer = ParsePeftConfig(Config("\"layers_to_transform\": 0"));
  ASSERT_THAT(one_layer, IsOk());
  EXPECT_THAT(one_layer->layers_to_transform, ElementsAre(0));
}

TEST(PeftConfigTest, PatternsAreLimitedOnBothSides) {
  std::string patterns;
  for (uint64_t i = 0; i < kMaxPeftPatterns; ++i) {
    patterns += (i == 0 ? "\"" : ", \"") + std::to_string(i) + "\": 1";
  }
  EXPECT_THAT(ParsePeftConfig(Config("\"rank_pattern\": {" + patterns + "}")), IsOk());
  EXPECT_THAT(ParsePeftConfig(Config("\"rank_pattern\": {" + patterns + ", \"x\": 1}")),
              HasStatus(StatusCode::kResourceExhausted, "rank_pattern: at most 2048 patterns, got 2049"));
}

TEST(PeftConfigTest, RefusesByNameWhatIsNotSupported) {
  const std::pair<const char*, const char*> cases[] = {
      {"use_dora", "1"},
      {"rank_pattern", "{\"q_proj\": 0}"},
      {"rank_pattern", "{\"q_proj\": 1.5}"},
      {"rank_pattern", "[8]"},
      {"alpha_pattern", "{\"q_proj\": -8}"},
      {"alpha_pattern", "8"},
      {"exclude_modules", "[1]"},
      {"exclude_modules", "{\"q_proj\": 1}"},
      {"layers_to_transform", "[-1]"},
      {"layers_to_transform", "\"0\""},
      {"bias", "\"some\""},
      {"bias", "1"},
      {"fan_in_fan_out", "true"},
      {"modules_to_save", "[\"lm_head\"]"},
      {"corda_config", "{\"corda_method\": \"ipm\"}"},
      {"layer_replication", "[[0, 1]]"},
      {"init_lora_weights", "\"pissa\""},
      {"lora_bias", "true"},
      {"use_qalora", "true"},
      {"trainable_token_indices", "[1]"},
      {"some_new_key", "1"},
      {"peft_type", "\"ADALORA\""},
      {"peft_type", "null"},
      {"r", "0"},
      {"r", "-4"},
      {"r", "4.0"},
      {"r", "4294967296"},
      {"lora_alpha", "0"},
      {"lora_alpha", "-1"},
      {"lora_alpha", "\"16\""},
      {"lora_alpha", "1e31"},
      {"use_rslora", "1"},
      {"target_modules", "[]"},
      {"target_modules", "[1]"},
      {"target_modules", "null"},
  };
  for (const auto& [key, value] : cases) {
    EXPECT_THAT(ParsePeftConfig(Config("\"" + std::string(key) + "\": " + value)),
                HasStatus(StatusCode::kInvalidArgument, std::string("adapter_config.json: ") + key))
        << value;
  }
}

TEST(PeftConfigTest, RefusesMissingKeysAndWhatIsNoJson) {
  EXPECT_THAT(ParsePeftConfig(Config("\"layers_to_transform\": [0], \"layers_pattern\": \"h\"")),
              HasStatus(StatusCode::kInvalidArgument, "layers_pattern: only \"layers\""));
  EXPECT_THAT(ParsePeftConfig("{}"), HasStatus(StatusCode::kInvalidArgument, "peft_type"));
  EXPECT_THAT(ParsePeftConfig(R"({"peft_type": "LORA"})"), HasStatus(StatusCode::kInvalidArgument, "r: "));
  EXPECT_THAT(ParsePeftConfig(R"({"peft_type": "LORA", "r": 1})"),
              HasStatus(StatusCode::kInvalidArgument, "lora_alpha"));
  EXPECT_THAT(ParsePeftConfig(R"({"peft_type": "LORA", "r": 1, "lora_alpha": 1})"),
              HasStatus(StatusCode::kInvalidArgument, "target_modules"));
  const std::string whole = Config();
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(ParsePeftConfig(whole.substr(0, size)), HasStatus(StatusCode::kInvalidArgument, ""));
  }
}

TEST(PeftConfigTest, SizeIsLimitedOnBothSides) {
  std::string text = Config();
  text.resize(kMaxPeftConfigBytes, ' ');
  EXPECT_THAT(ParsePeftConfig(text), IsOk());
  EXPECT_THAT(ParsePeftConfig(text + " "), HasStatus(StatusCode::kResourceExhausted, "bytes"));
}

TEST(PeftConfigTest, ReadsWhatItWrites) {
  PeftConfig config;
  config.rank = 3;
  config.alpha = static_cast<double>(0.1f);
  config.target_modules.names = {"k_proj", "down_proj"};
  const auto read = ParsePeftConfig(FormatPeftConfig(config, "odd \"name\" \xff"));
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(read->rank, 3u);
  EXPECT_EQ(read->alpha, static_cast<double>(0.1f));
  EXPECT_EQ(read->target_modules.names, config.target_modules.names);
}

}  // namespace
}  // namespace fleetune
