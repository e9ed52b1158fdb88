#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/gguf/llama_shape.h"

namespace fleetune {

// A complete model of a few kilobytes with random weights and a tokenizer of bytes. Change a field, then write.
struct TinyLlama {
  std::string architecture = "llama";
  uint32_t width = 8;
  uint32_t layers = 2;
  uint32_t heads = 2;
  uint32_t kv_heads = 1;
  uint32_t feed_forward = 12;
  uint32_t context = 32;
  bool qkv_bias = false;
  bool tied_output = true;
  uint64_t seed = 1;

  static constexpr uint32_t kVocabulary = 259;  // <unk>, <s>, </s>, 256 bytes

  GgufWriter ToWriter() const {
    GgufWriter writer;
    AddMetadata(writer);
    AddTokenizer(writer);
    AddTensors(writer);
    return writer;
  }
  Bytes ToBytes() const { return ToWriter().Finish(); }

 private:
  void AddMetadata(GgufWriter& writer) const {
    const auto key = [this](std::string_view name) { return fmt::format("{}.{}", architecture, name); };
    writer.AddString("general.architecture", architecture);
    writer.AddUint32(key("context_length"), context);
    writer.AddUint32(key("embedding_length"), width);
    writer.AddUint32(key("block_count"), layers);
    writer.AddUint32(key("feed_forward_length"), feed_forward);
    writer.AddUint32(key("attention.head_count"), heads);
    writer.AddUint32(key("attention.head_count_kv"), kv_heads);
    writer.AddFloat(key("attention.layer_norm_rms_epsilon"), 1e-5f);
    writer.AddUint32(key("rope.dimension_count"), width / heads);
  }

  static void AddTokenizer(GgufWriter& writer) {
    std::vector<std::string> tokens = {"<unk>", "<s>", "</s>"};
    std::vector<int32_t> types = {2, 3, 3};
    for (int byte = 0; byte < 256; ++byte) {
      tokens.push_back(fmt::format("<0x{:02X}>", byte));
      types.push_back(6);
    }
    writer.AddString("tokenizer.ggml.model", "llama");
    writer.AddStrings("tokenizer.ggml.tokens", tokens);
    writer.AddFloats("tokenizer.ggml.scores", std::vector<float>(tokens.size(), 0.0f));
    writer.AddInts("tokenizer.ggml.token_type", types);
    writer.AddUint32("tokenizer.ggml.bos_token_id", 1);
    writer.AddUint32("tokenizer.ggml.eos_token_id", 2);
    writer.AddUint32("tokenizer.ggml.unknown_token_id", 0);
    writer.AddBool("tokenizer.ggml.add_bos_token", true);
    writer.AddBool("tokenizer.ggml.add_space_prefix", false);
  }

  void AddTensors(GgufWriter& writer) const {
    SplitMix64 random(seed);
    const auto add = [&](const std::string& name, std::vector<uint64_t> shape, double offset = 0) {
      uint64_t size = 1;
      for (const uint64_t length : shape) size *= length;
      std::vector<float> values(size);
      for (float& value : values) value = static_cast<float>(offset + random.NextUnit() - 0.5);
      const auto* raw = reinterpret_cast<const uint8_t*>(values.data());
      writer.AddTensor(name, TensorType::kF32, std::move(shape), Bytes(raw, raw + size * sizeof(float)));
    };
    const uint64_t kv_size = uint64_t{width} / heads * kv_heads;
    add("token_embd.weight", {width, kVocabulary});
    add("output_norm.weight", {width}, 1);
    if (!tied_output) add("output.weight", {width, kVocabulary});
    for (uint32_t layer = 0; layer < layers; ++layer) {
      add(BlockTensorName(layer, "attn_norm"), {width}, 1);
      add(BlockTensorName(layer, "attn_q"), {width, width});
      add(BlockTensorName(layer, "attn_k"), {width, kv_size});
      add(BlockTensorName(layer, "attn_v"), {width, kv_size});
      add(BlockTensorName(layer, "attn_output"), {width, width});
      add(BlockTensorName(layer, "ffn_norm"), {width}, 1);
      add(BlockTensorName(layer, "ffn_gate"), {width, feed_forward});
      add(BlockTensorName(layer, "ffn_up"), {width, feed_forward});
      add(BlockTensorName(layer, "ffn_down"), {feed_forward, width});
      if (!qkv_bias) continue;
      add(BlockTensorName(layer, "attn_q", "bias"), {width});
      add(BlockTensorName(layer, "attn_k", "bias"), {kv_size});
      add(BlockTensorName(layer, "attn_v", "bias"), {kv_size});
    }
  }
};

}  // namespace fleetune
