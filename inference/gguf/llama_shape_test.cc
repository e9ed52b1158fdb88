#include "inference/gguf/llama_shape.h"

#include <map>

#include "gtest/gtest.h"
#include "inference/gguf/gguf_limits.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"

namespace fleetune {
namespace {

using absl::StatusCode;

// The shape of `tiny` with some values replaced or added, and tensors left out or added.
struct Change {
  std::map<std::string, GgufValue> values = {};
  std::string without_value = {};
  std::string without_tensor = {};
  std::string extra_tensor = {};
};
absl::StatusOr<LlamaShape> ShapeOf(const TinyLlama& tiny, const Change& change = {}) {
  const auto file = GgufFile::FromBytes(tiny.ToBytes());
  if (!file.ok()) return file.status();
  GgufWriter writer;
  for (const auto& [key, value] : (*file)->values()) {
    if (key != change.without_value && !change.values.contains(key)) writer.AddValue(key, value);
  }
  for (const auto& [key, value] : change.values) writer.AddValue(key, value);
  for (const GgufTensor& tensor : (*file)->tensors()) {
    if (tensor.name == change.without_tensor) continue;
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, Bytes(tensor.data.begin(), tensor.data.end()));
  }
  if (!change.extra_tensor.empty()) writer.AddTensor(change.extra_tensor, TensorType::kF32, {2}, Bytes(8));
  const auto changed = GgufFile::FromBytes(writer.Finish());
  if (!changed.ok()) return changed.status();
  return ReadLlamaShape(**changed);
}

absl::StatusOr<LlamaShape> WithValue(const std::string& key, GgufValue value) {
  return ShapeOf({}, {.values = {{key, std::move(value)}}});
}

TEST(LlamaShape, ReadsLlama) {
  const auto shape = ShapeOf({});
  ASSERT_THAT(shape, IsOk());
  EXPECT_EQ(shape->architecture, "llama");
  EXPECT_EQ(shape->vocabulary, TinyLlama::kVocabulary);
  EXPECT_EQ(shape->context, 32u);
  EXPECT_EQ(shape->head_size, 4u);
  EXPECT_EQ(shape->rope_size, 4u);
  EXPECT_EQ(shape->rope_base, 10000.0f);
  EXPECT_EQ(shape->rope_pairing, RopePairing::kInterleaved);
  EXPECT_FALSE(shape->qkv_bias);
  EXPECT_TRUE(shape->tied_output);
}

TEST(LlamaShape, ReadsQwen2) {
  const auto shape =
      ShapeOf({.architecture = "qwen2", .qkv_bias = true, .tied_output = false},
              {.values = {{"qwen2.rope.freq_base", 1e6f}}, .without_value = "qwen2.rope.dimension_count"});
  ASSERT_THAT(shape, IsOk());
  EXPECT_EQ(shape->rope_pairing, RopePairing::kHalves);
  EXPECT_EQ(shape->rope_size, 4u);
  EXPECT_EQ(shape->rope_base, 1e6f);
  EXPECT_TRUE(shape->qkv_bias);
  EXPECT_FALSE(shape->tied_output);
}

TEST(LlamaShape, TakesTheHeadSizeFromTheKeyLengthIfGiven) {
  EXPECT_THAT(WithValue("llama.attention.key_length", 4u), IsOk());
  EXPECT_THAT(WithValue("llama.attention.key_length", 8u),
              HasStatus(StatusCode::kInvalidArgument, "blk.0.attn_q.weight: expected 16 x 8, got 8 x 8"));
}

TEST(LlamaShape, RefusesOtherArchitecturesAndKindsByName) {
  EXPECT_THAT(WithValue("general.architecture", std::string_view("gpt2")),
              HasStatus(StatusCode::kInvalidArgument, "\"gpt2\""));
  EXPECT_THAT(WithValue("general.architecture", 5u),
              HasStatus(StatusCode::kInvalidArgument, "general.architecture"));
  EXPECT_THAT(ShapeOf({}, {.without_value = "general.architecture"}),
              HasStatus(StatusCode::kInvalidArgument, "general.architecture is missing"));
  EXPECT_THAT(WithValue("general.type", std::string_view("adapter")),
              HasStatus(StatusCode::kInvalidArgument, "\"adapter\""));
  EXPECT_THAT(WithValue("general.type", std::string_view("model")), IsOk());
}

TEST(LlamaShape, RefusesWhatWouldChangeTheComputation) {
  EXPECT_THAT(WithValue("llama.expert_count", 8u), HasStatus(StatusCode::kInvalidArgument, "expert_count"));
  EXPECT_THAT(WithValue("llama.expert_count", 0u), IsOk());
  EXPECT_THAT(WithValue("llama.attention.sliding_window", 16u),
              HasStatus(StatusCode::kInvalidArgument, "sliding_window"));
  EXPECT_THAT(WithValue("llama.logit_scale", 2.0f), HasStatus(StatusCode::kInvalidArgument, "logit_scale"));
  EXPECT_THAT(WithValue("llama.rope.scaling.type", std::string_view("yarn")),
              HasStatus(StatusCode::kInvalidArgument, "yarn"));
  EXPECT_THAT(WithValue("llama.rope.scaling.type", std::string_view("none")), IsOk());
  EXPECT_THAT(WithValue("llama.rope.scaling.factor", 2.0f),
              HasStatus(StatusCode::kInvalidArgument, "scaling.factor"));
  EXPECT_THAT(WithValue("llama.rope.scaling.factor", 1.0f), IsOk());
  EXPECT_THAT(ShapeOf({}, {.extra_tensor = "rope_freqs.weight"}),
              HasStatus(StatusCode::kInvalidArgument, "tensor rope_freqs.weight is not supported"));
  EXPECT_THAT(ShapeOf({}, {.extra_tensor = "blk.0.attn_q.bias"}),
              HasStatus(StatusCode::kInvalidArgument, "blk.0.attn_q.bias: expected 1 x 8, got 1 x 2"));
}

TEST(LlamaShape, RefusesSizesOutOfRange) {
  EXPECT_THAT(WithValue("llama.block_count", 0u),
              HasStatus(StatusCode::kInvalidArgument, "expected 1 to 512"));
  EXPECT_THAT(WithValue("llama.block_count", kMaxModelLayers + 1),
              HasStatus(StatusCode::kInvalidArgument, "is 513"));
  EXPECT_THAT(WithValue("llama.block_count", kMaxModelLayers),
              HasStatus(StatusCode::kInvalidArgument, "blk.2.attn_norm.weight is missing"));
  EXPECT_THAT(WithValue("llama.context_length", kMaxModelContext), IsOk());
  EXPECT_THAT(WithValue("llama.context_length", kMaxModelContext + 1),
              HasStatus(StatusCode::kInvalidArgument, "context_length"));
  EXPECT_THAT(WithValue("llama.attention.head_count", 3u),
              HasStatus(StatusCode::kInvalidArgument, "does not divide"));
  EXPECT_THAT(WithValue("llama.attention.head_count_kv", 3u),
              HasStatus(StatusCode::kInvalidArgument, "share"));
  EXPECT_THAT(WithValue("llama.attention.layer_norm_rms_epsilon", 0.0f),
              HasStatus(StatusCode::kInvalidArgument, "epsilon"));
  EXPECT_THAT(WithValue("llama.attention.layer_norm_rms_epsilon", 1.0f),
              HasStatus(StatusCode::kInvalidArgument, "epsilon"));
  EXPECT_THAT(WithValue("llama.rope.dimension_count", 3u), HasStatus(StatusCode::kInvalidArgument, "even"));
  EXPECT_THAT(WithValue("llama.rope.dimension_count", 6u),
              HasStatus(StatusCode::kInvalidArgument, "up to the head's 4"));
  EXPECT_THAT(WithValue("llama.rope.dimension_count", 2u), IsOk());
  EXPECT_THAT(WithValue("llama.rope.freq_base", 0.5f), HasStatus(StatusCode::kInvalidArgument, "freq_base"));
  EXPECT_THAT(WithValue("llama.attention.value_length", 2u),
              HasStatus(StatusCode::kInvalidArgument, "value_length"));
}

TEST(LlamaShape, EveryKeyAndTensorMustBeThere) {
  for (const char* name : {"context_length", "embedding_length", "block_count", "feed_forward_length",
                           "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    const std::string key = std::string("llama.") + name;
    EXPECT_THAT(ShapeOf({}, {.without_value = key}),
                HasStatus(StatusCode::kInvalidArgument, key + " is missing"));
  }
  const auto file = GgufFile::FromBytes(TinyLlama{.qkv_bias = true}.ToBytes());
  ASSERT_THAT(file, IsOk());
  for (const GgufTensor& tensor : (*file)->tensors()) {
    if (tensor.name == "blk.0.attn_q.bias") continue;  // without it the others are superfluous
    EXPECT_THAT(ShapeOf({.qkv_bias = true}, {.without_tensor = tensor.name}),
                HasStatus(StatusCode::kInvalidArgument, tensor.name + " is missing"));
  }
}

TEST(LlamaShape, NamesTheTensorOfAnotherShape) {
  EXPECT_THAT(WithValue("llama.embedding_length", 16u),
              HasStatus(StatusCode::kInvalidArgument, "token_embd.weight: expected 259 x 16, got 259 x 8"));
  EXPECT_THAT(WithValue("llama.feed_forward_length", 13u),
              HasStatus(StatusCode::kInvalidArgument, "blk.0.ffn_gate.weight: expected 13 x 8, got 12 x 8"));
}

}  // namespace
}  // namespace fleetune
