#include "inference/huggingface/model_config.h"

#include <nlohmann/json.hpp>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using nlohmann::json;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

// As published with SmolLM2-135M.
json SmolLm2() {
  return json::parse(R"({"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
    "bos_token_id": 0,
    "eos_token_id": 0, "hidden_act": "silu", "hidden_size": 576, "initializer_range": 0.041666666666666664,
    "intermediate_size": 1536, "is_llama_config": true, "max_position_embeddings": 8192, "model_type": "llama",
    "num_attention_heads": 9, "num_hidden_layers": 30, "num_key_value_heads": 3, "pretraining_tp": 1,
    "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null, "rope_theta": 100000,
    "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_cache": true,
    "vocab_size": 49152})");
}

// As published with Qwen2.5-0.5B-Instruct.
json Qwen2() {
  return json::parse(R"({"architectures": ["Qwen2ForCausalLM"], "attention_dropout": 0.0, "bos_token_id": 151643,
    "eos_token_id":
    151645, "hidden_act": "silu", "hidden_size": 896, "initializer_range": 0.02, "intermediate_size": 4864,
    "max_position_embeddings": 32768, "max_window_layers": 21, "model_type": "qwen2", "num_attention_heads": 14,
    "num_hidden_layers": 24, "num_key_value_heads": 2, "rms_norm_eps": 1e-06, "rope_theta": 1000000.0,
    "sliding_window": 32768, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true,
    "use_sliding_window": false, "vocab_size": 151936})");
}

json Mistral() {
  return json::parse(R"({"architectures": ["MistralForCausalLM"], "bos_token_id": 1, "eos_token_id": 2,
    "hidden_act": "silu",
    "hidden_size": 4096, "intermediate_size": 14336, "max_position_embeddings": 32768, "model_type": "mistral",
    "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 8, "rms_norm_eps": 1e-05,
    "rope_theta": 10000.0, "sliding_window": 4096, "tie_word_embeddings": false, "vocab_size": 32000})");
}

absl::StatusOr<ModelConfig> Read(const json& config) { return ReadModelConfig(config.dump()); }

absl::StatusOr<ModelConfig> With(json config, const char* key, json value) {
  config[key] = std::move(value);
  return Read(config);
}

absl::StatusOr<ModelConfig> Without(json config, const char* key) {
  config.erase(key);
  return Read(config);
}

TEST(ModelConfigTest, ReadsPublishedFiles) {
  const auto smol = Read(SmolLm2());
  ASSERT_THAT(smol, IsOk());
  const LlamaShape& shape = smol->shape;
  EXPECT_EQ(shape.architecture, "llama");
  EXPECT_EQ(shape.vocabulary, 49152u);
  EXPECT_EQ(shape.context, 8192u);
  EXPECT_EQ(shape.width, 576u);
  EXPECT_EQ(shape.layers, 30u);
  EXPECT_EQ(shape.heads, 9u);
  EXPECT_EQ(shape.kv_heads, 3u);
  EXPECT_EQ(shape.head_size, 64u);
  EXPECT_EQ(shape.rope_size, 64u);
  EXPECT_EQ(shape.feed_forward, 1536u);
  EXPECT_EQ(shape.norm_epsilon, 1e-5f);
  EXPECT_EQ(shape.rope_base, 100000);
  EXPECT_EQ(shape.rope_pairing, RopePairing::kInterleaved);
  EXPECT_TRUE(shape.tied_output);
  EXPECT_FALSE(shape.qkv_bias);
  EXPECT_EQ(smol->bos, 0u);
  EXPECT_EQ(smol->pad, std::nullopt);

  const auto qwen = Read(Qwen2());
  ASSERT_THAT(qwen, IsOk());
  EXPECT_EQ(qwen->shape.architecture, "qwen2");
  EXPECT_EQ(qwen->shape.rope_pairing, RopePairing::kHalves);
  EXPECT_TRUE(qwen->shape.qkv_bias);
  EXPECT_EQ(qwen->shape.context, 32768u);
  EXPECT_EQ(qwen->eos, 151645u);

  const auto mistral = Read(Mistral());
  ASSERT_THAT(mistral, IsOk());
  EXPECT_EQ(mistral->shape.architecture, "llama");
  EXPECT_FALSE(mistral->shape.tied_output);
}

TEST(ModelConfigTest, AWindowOfAttentionBoundsTheContext) {
  EXPECT_EQ(Read(Mistral())->shape.context, 4096u);
  EXPECT_EQ(Without(Mistral(), "sliding_window")->shape.context, 4096u);  // transformers' default
  EXPECT_EQ(With(Mistral(), "sliding_window", nullptr)->shape.context, 32768u);
  EXPECT_EQ(With(Mistral(), "sliding_window", 100'000)->shape.context, 32768u);
  json qwen = Qwen2();
  qwen["sliding_window"] = 1000;
  EXPECT_EQ(Read(qwen)->shape.context, 32768u);
  EXPECT_EQ(With(qwen, "layer_types", {"full_attention", "full_attention"})->shape.context, 32768u);
  EXPECT_THAT(With(qwen, "layer_types", {"full_attention", "sliding_attention"}), HasStatus(kInvalid, "layer_types"));
  qwen["use_sliding_window"] = true;
  EXPECT_EQ(With(qwen, "layer_types", {"full_attention", "sliding_attention"})->shape.context, 1000u);
  EXPECT_THAT(With(qwen, "layer_types", {"linear_attention"}), HasStatus(kInvalid, "layer_types"));
}

TEST(ModelConfigTest, AbsentKeysHaveTransformersDefaults) {
  EXPECT_EQ(Without(SmolLm2(), "num_key_value_heads")->shape.kv_heads, 9u);
  EXPECT_THAT(Without(Qwen2(), "num_key_value_heads"), HasStatus(kInvalid, "num_key_value_heads: expected 1 to"));
  EXPECT_EQ(Without(SmolLm2(), "rope_theta")->shape.rope_base, 10000);
  EXPECT_EQ(Without(SmolLm2(), "rms_norm_eps")->shape.norm_epsilon, 1e-6f);
  EXPECT_FALSE(Without(SmolLm2(), "tie_word_embeddings")->shape.tied_output);
  EXPECT_THAT(Without(SmolLm2(), "hidden_act"), IsOk());
  EXPECT_THAT(Without(SmolLm2(), "architectures"), IsOk());
  EXPECT_EQ(Without(SmolLm2(), "bos_token_id")->bos, std::nullopt);
  EXPECT_EQ(With(SmolLm2(), "bos_token_id", -1)->bos, std::nullopt);
  EXPECT_EQ(With(SmolLm2(), "eos_token_id", {2, 7})->eos, 2u);
}

TEST(ModelConfigTest, ReadsTheRotationOfNewerFiles) {
  json config = SmolLm2();
  config.erase("rope_theta");
  config.erase("rope_scaling");
  config["rope_parameters"] = {{"rope_theta", 5000.0}, {"rope_type", "default"}};
  EXPECT_EQ(Read(config)->shape.rope_base, 5000);
  config["rope_parameters"]["rope_type"] = "yarn";
  EXPECT_THAT(Read(config), HasStatus(kInvalid, R"(rope_parameters.rope_type: expected "default", got "yarn")"));
  config["rope_parameters"] = {{"rope_theta", "5000"}};
  EXPECT_THAT(Read(config), HasStatus(kInvalid, "rope_theta: expected a number"));
  EXPECT_THAT(With(SmolLm2(), "rope_scaling", {{"type", "default"}}), IsOk());
}

TEST(ModelConfigTest, HeadsMayHaveASizeOfTheirOwn) {
  EXPECT_EQ(With(SmolLm2(), "head_dim", 128)->shape.head_size, 128u);
  EXPECT_EQ(With(SmolLm2(), "head_dim", nullptr)->shape.head_size, 64u);
  EXPECT_THAT(With(SmolLm2(), "head_dim", 63), HasStatus(kInvalid, "even"));
}

TEST(ModelConfigTest, RefusesByNameWhatIsNotComputed) {
  const std::pair<const char*, json> cases[] = {
      {"model_type", "gemma2"}, {"model_type", nullptr}, {"model_type", 5},
      {"architectures", {"LlamaForSequenceClassification"}}, {"architectures", json::array()}, {"architectures", "x"},
      {"hidden_act", "gelu"}, {"attention_bias", true}, {"mlp_bias", true}, {"mlp_bias", 1},
      {"quantization_config", {{"quant_method", "gptq"}}},
      {"vocab_size", 0}, {"vocab_size", 1'000'001}, {"vocab_size", "many"},
      {"max_position_embeddings", 0}, {"hidden_size", 575}, {"hidden_size", 1u << 30}, {"num_hidden_layers", 513},
      {"intermediate_size", 0}, {"num_attention_heads", 0}, {"num_key_value_heads", 2}, {"num_key_value_heads", 0},
      {"rms_norm_eps", 0}, {"rms_norm_eps", 1}, {"rms_norm_eps", "small"}, {"rope_theta", 0.5}, {"rope_theta", 1e31},
      {"tie_word_embeddings", 1}, {"partial_rotary_factor", 0.5},
      {"rope_scaling", {{"rope_type", "llama3"}, {"factor", 32.0}}}, {"rope_scaling", {{"type", "linear"}}},
      {"rope_scaling", 2},
      {"bos_token_id", 49152}, {"eos_token_id", "x"}, {"pad_token_id", 1.5},
      {"layer_types", {"sliding_attention"}}, {"layer_types", 1}};
  for (const auto& [key, value] : cases) {
    const char* named = std::string_view(key) == "hidden_size" && value == 575 ? "num_attention_heads" : key;
    EXPECT_THAT(With(SmolLm2(), key, value), HasStatus(kInvalid, std::string("config.json: ") + named)) << value;
  }
  EXPECT_THAT(With(Mistral(), "sliding_window", 0), HasStatus(kInvalid, "sliding_window"));
}

TEST(ModelConfigTest, CutAtEveryOffset) {
  const std::string text = SmolLm2().dump();
  for (size_t cut = 0; cut < text.size(); ++cut) {
    EXPECT_THAT(ReadModelConfig(std::string_view(text).substr(0, cut)), HasStatus(kInvalid, "config.json"));
  }
}

}  // namespace
}  // namespace fleetune
