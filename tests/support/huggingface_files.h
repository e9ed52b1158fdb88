#pragma once

// For tests: the files of a Hugging Face model folder for a GGUF model, the inverse of inference/huggingface.

#include <algorithm>
#include <cstring>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/utf8.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/huggingface/model_tensors.h"
#include "inference/tokenizer/vocabulary.h"

namespace fleetune {

inline nlohmann::json ConfigJsonOf(const LlamaShape& shape) {
  const bool is_llama = shape.architecture == "llama";
  return {{"model_type", shape.architecture},
          {"architectures", {is_llama ? "LlamaForCausalLM" : "Qwen2ForCausalLM"}},
          {"hidden_act", "silu"},
          {"vocab_size", shape.vocabulary},
          {"max_position_embeddings", shape.context},
          {"hidden_size", shape.width},
          {"intermediate_size", shape.feed_forward},
          {"num_hidden_layers", shape.layers},
          {"num_attention_heads", shape.heads},
          {"num_key_value_heads", shape.kv_heads},
          {"head_dim", shape.head_size},
          {"rms_norm_eps", shape.norm_epsilon},
          {"rope_theta", shape.rope_base},
          {"rope_scaling", nullptr},
          {"tie_word_embeddings", shape.tied_output},
          {"torch_dtype", "bfloat16"}};
}

// In the order in which Hugging Face's conversion writes what SentencePiece learned: all pairs of tokens that make a
// token, those of the best token first; of equal ones those with the largest parts.
inline nlohmann::json MergesOfScores(const Vocabulary& vocabulary, const std::vector<float>& scores) {
  std::vector<std::tuple<float, size_t, size_t, std::string>> merges;
  const auto characters = [](const std::string& text) {
    return static_cast<size_t>(std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
  };
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    if (vocabulary.type(id) != TokenType::kNormal) continue;
    const std::string& token = vocabulary.text(id);
    for (size_t at = Utf8CharacterSize(token); at < token.size();
         at += Utf8CharacterSize(std::string_view(token).substr(at))) {
      const std::string left = token.substr(0, at), right = token.substr(at);
      if (!vocabulary.ids.contains(left) || !vocabulary.ids.contains(right)) continue;
      merges.emplace_back(scores[static_cast<size_t>(id)], characters(left), characters(right), left + " " + right);
    }
  }
  std::sort(merges.rbegin(), merges.rend());
  nlohmann::json list = nlohmann::json::array();
  for (const auto& merge : merges) list.push_back(std::get<3>(merge));
  return list;
}

inline nlohmann::json SentencePieceSteps() {
  return {{"type", "Sequence"},
          {"normalizers",
           {{{"type", "Prepend"}, {"prepend", "▁"}},
            {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", "▁"}}}}};
}

// `name` as in tokenizer.ggml.pre.
inline nlohmann::json ByteLevelSteps(std::string_view name) {
  const nlohmann::json whole = {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", true}};
  if (name == "gpt-2") return whole;
  nlohmann::json first = {{"type", "Digits"}, {"individual_digits", true}};
  nlohmann::json last = whole;
  if (name == "qwen2") {
    const char* pattern =
        R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    first = {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
    last["use_regex"] = false;
  }
  return {{"type", "Sequence"}, {"pretokenizers", {first, last}}};
}

inline nlohmann::json TokenizerJsonOf(const GgufFile& file) {
  const auto vocabulary = ReadVocabulary(file);
  EXPECT_TRUE(vocabulary.ok()) << vocabulary.status();
  const bool is_byte_level = *file.GetString("tokenizer.ggml.model") == "gpt2";
  nlohmann::json model = {
      {"type", "BPE"}, {"unk_token", nullptr}, {"byte_fallback", !is_byte_level}, {"vocab", nlohmann::json::object()}};
  nlohmann::json added = nlohmann::json::array();
  for (int32_t id = 0; id < vocabulary->size(); ++id) {
    const TokenType type = vocabulary->type(id);
    if (type == TokenType::kUnused) continue;
    if (type == TokenType::kControl || type == TokenType::kUserDefined) {
      added.push_back(
          {{"id", id}, {"content", vocabulary->text(id)}, {"lstrip", false}, {"special", type == TokenType::kControl}});
    } else {
      model["vocab"][vocabulary->text(id)] = id;
    }
    if (type == TokenType::kUnknown) model["unk_token"] = vocabulary->text(id);
  }
  nlohmann::json tokenizer = {
      {"version", "1.0"}, {"added_tokens", added}, {"normalizer", nullptr}, {"pre_tokenizer", nullptr}};
  if (is_byte_level) {
    const auto merges = file.GetStrings("tokenizer.ggml.merges");
    model["merges"] = std::vector<std::string>(merges->begin(), merges->end());
    tokenizer["pre_tokenizer"] = ByteLevelSteps(*file.GetString("tokenizer.ggml.pre"));
  } else {
    model["merges"] = MergesOfScores(*vocabulary, *file.GetFloats("tokenizer.ggml.scores"));
    tokenizer["normalizer"] = SentencePieceSteps();
    const auto adds_space = file.GetBool("tokenizer.ggml.add_space_prefix");
    if (adds_space.ok() && !*adds_space) tokenizer["normalizer"]["normalizers"].erase(0);
  }
  tokenizer["model"] = std::move(model);
  return tokenizer;
}

// The model's tensors for which `is_chosen` says so, under Hugging Face's names and in its order of rows, in the types
// of the file.
template <typename Chosen>
Bytes SafetensorsOf(const GgufFile& file, const LlamaShape& shape, Chosen is_chosen) {
  nlohmann::ordered_json header;
  ByteWriter data;
  for (const ModelTensor& tensor : TensorsOf(shape)) {
    if (!is_chosen(tensor.name)) continue;
    const GgufTensor& from = *file.FindTensor(tensor.gguf_name);
    const size_t begin = data.bytes().size();
    std::vector<std::span<const uint8_t>> rows(tensor.rows);
    for (uint64_t row = 0; row < tensor.rows; ++row) rows[SourceRow(tensor, row)] = from.row(row);
    for (const std::span<const uint8_t> row : rows) data.WriteBytes(row);
    nlohmann::json sizes = {tensor.rows, tensor.columns};
    if (tensor.is_vector) sizes.erase(0);
    header[tensor.name] = {
        {"dtype", TensorTypeName(from.type)}, {"shape", sizes}, {"data_offsets", {begin, data.bytes().size()}}};
  }
  const std::string text = header.dump();
  ByteWriter out;
  out.Write<uint64_t>(text.size());
  out.WriteBytes(AsBytes(text));
  out.WriteBytes(data.bytes());
  return out.Take();
}

inline void WriteTestFile(const std::string& path, std::span<const uint8_t> bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

// All files of a folder that exists, the weights in one.
inline void WriteHuggingFaceFolder(const GgufFile& file, const std::string& folder) {
  const auto shape = ReadLlamaShape(file);
  ASSERT_TRUE(shape.ok()) << shape.status();
  WriteTestFile(folder + "/config.json", AsBytes(ConfigJsonOf(*shape).dump()));
  WriteTestFile(folder + "/tokenizer.json", AsBytes(TokenizerJsonOf(file).dump()));
  WriteTestFile(folder + "/tokenizer_config.json",
                AsBytes(R"({"bos_token": "<s>", "eos_token": "</s>", "add_bos_token": true})"));
  WriteTestFile(folder + "/model.safetensors", SafetensorsOf(file, *shape, [](const std::string&) { return true; }));
}

}  // namespace fleetune
