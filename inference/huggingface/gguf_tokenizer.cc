#include "inference/huggingface/gguf_tokenizer.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/huggingface/json_object.h"

namespace fleetune {
namespace {

// The id of the token named `text`, else `otherwise`.
absl::StatusOr<std::optional<uint32_t>> IdOf(const TokenTable& table, const char* key,
                                             const std::optional<std::string>& text,
                                             std::optional<uint32_t> otherwise) {
  if (!text) return otherwise;
  const std::optional<int32_t> id = table.Find(*text);
  if (id) return std::optional<uint32_t>(static_cast<uint32_t>(*id));
  return absl::InvalidArgumentError(
      fmt::format("tokenizer_config.json: {}: expected a token of tokenizer.json, got {}", key, Shown(*text)));
}

void AddTokens(const TokenizerJson& tokenizer, GgufWriter& writer) {
  const TextPipeline& pipeline = tokenizer.pipeline;
  writer.AddString("tokenizer.ggml.model", pipeline.is_byte_level ? "gpt2" : "llama");
  if (pipeline.is_byte_level) writer.AddString("tokenizer.ggml.pre", pipeline.pre_tokenizer);
  writer.AddStrings("tokenizer.ggml.tokens", tokenizer.table.tokens);
  std::vector<int32_t> types;
  for (const TokenType type : tokenizer.table.types) types.push_back(static_cast<int32_t>(type));
  writer.AddInts("tokenizer.ggml.token_type", types);
  if (!pipeline.is_byte_level) {
    writer.AddFloats("tokenizer.ggml.scores", tokenizer.scores);
    writer.AddBool("tokenizer.ggml.add_space_prefix", pipeline.adds_space);
    return;
  }
  std::vector<std::string> merges;
  for (const auto& [left, right] : tokenizer.merges) merges.push_back(fmt::format("{} {}", left, right));
  writer.AddStrings("tokenizer.ggml.merges", merges);
}

// Whether BOS comes first; empty if no file says it.
absl::StatusOr<std::optional<bool>> AddsBos(const TokenizerJson& tokenizer, const TokenizerConfig& config,
                                            std::optional<uint32_t> bos) {
  if (!tokenizer.before.empty() && (!bos || tokenizer.before != tokenizer.table.tokens[*bos])) {
    return absl::InvalidArgumentError(fmt::format(
        "tokenizer.json: post_processor: expected nothing or BOS before a text, got {}", Shown(tokenizer.before)));
  }
  if (config.adds_bos) return config.adds_bos;
  if (tokenizer.has_template) return std::optional<bool>(!tokenizer.before.empty());
  return std::optional<bool>();
}

}  // namespace

absl::Status AddTokenizer(const TokenizerJson& tokenizer, const TokenizerConfig& config, const ModelConfig& model,
                          GgufWriter& writer) {
  const TokenTable& table = tokenizer.table;
  ASSIGN_OR_RETURN(const std::optional<uint32_t> bos, IdOf(table, "bos_token", config.bos, model.bos));
  ASSIGN_OR_RETURN(const std::optional<uint32_t> eos, IdOf(table, "eos_token", config.eos, model.eos));
  ASSIGN_OR_RETURN(const std::optional<uint32_t> pad, IdOf(table, "pad_token", config.pad, model.pad));
  ASSIGN_OR_RETURN(const std::optional<bool> adds_bos, AddsBos(tokenizer, config, bos));
  AddTokens(tokenizer, writer);
  if (bos) writer.AddUint32("tokenizer.ggml.bos_token_id", *bos);
  if (eos) writer.AddUint32("tokenizer.ggml.eos_token_id", *eos);
  if (pad) writer.AddUint32("tokenizer.ggml.padding_token_id", *pad);
  if (tokenizer.unknown) writer.AddUint32("tokenizer.ggml.unknown_token_id", static_cast<uint32_t>(*tokenizer.unknown));
  if (adds_bos) writer.AddBool("tokenizer.ggml.add_bos_token", *adds_bos);
  writer.AddBool("tokenizer.ggml.add_eos_token", config.adds_eos.value_or(!tokenizer.after.empty()));
  if (!config.chat_template.empty()) writer.AddString("tokenizer.chat_template", config.chat_template);
  return absl::OkStatus();
}

}  // namespace fleetune
