#include "inference/huggingface/tokenizer_json.h"

#include <utility>

#include "base/status_macros.h"

namespace fleetune {
namespace {

using nlohmann::json;

absl::Status CheckModel(const JsonObject& model) {
  ASSIGN_OR_RETURN(const std::string type, model.TextOr("type", ""));
  if (type != "BPE") return model.Unexpected("type", "\"BPE\"");
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    ASSIGN_OR_RETURN(const std::string affix, model.TextOr(key, ""));
    if (!affix.empty()) return model.Unexpected(key, "nothing");
  }
  ASSIGN_OR_RETURN(const double dropout, model.NumberOr("dropout", 0));
  if (dropout != 0) return model.Unexpected("dropout", "nothing");
  return absl::OkStatus();
}

// The token for what no other covers; none if the model has none.
absl::StatusOr<std::optional<int32_t>> ReadUnknown(const JsonObject& model, const TokenTable& table) {
  ASSIGN_OR_RETURN(const std::optional<std::string> text, model.OptionalText("unk_token"));
  if (!text) return std::optional<int32_t>();
  const std::optional<int32_t> id = table.Find(*text);
  if (!id) return model.Unexpected("unk_token", "a token");
  return id;
}

// The text of a special token that a template names; empty for the text itself.
absl::StatusOr<std::string> SpecialTokenOf(const JsonObject& tokenizer, const json& piece) {
  if (piece.is_object() && piece.contains("Sequence")) return "";
  if (piece.is_object() && piece.contains("SpecialToken")) {
    const json& special = piece["SpecialToken"];
    if (special.is_object() && special.contains("id") && special["id"].is_string()) {
      return special["id"].get<std::string>();
    }
  }
  return tokenizer.Unexpected("post_processor", "a template of a text and special tokens");
}

absl::Status ReadTemplate(const JsonObject& tokenizer, const json& processor, TokenizerJson& read) {
  const auto single = processor.find("single");
  if (single == processor.end() || !single->is_array()) {
    return tokenizer.Unexpected("post_processor", "a template with single, a list");
  }
  read.has_template = true;
  std::string* side = &read.before;
  for (const json& piece : *single) {
    ASSIGN_OR_RETURN(const std::string token, SpecialTokenOf(tokenizer, piece));
    if (token.empty()) side = &read.after;
    side->append(token);
  }
  return absl::OkStatus();
}

absl::Status ReadPostProcessor(const JsonObject& tokenizer, TokenizerJson& read) {
  const json* value = tokenizer.Find("post_processor");
  if (value == nullptr) return absl::OkStatus();
  json::array_t steps = {*value};
  if (value->is_object() && value->value("type", json()) == "Sequence" && value->contains("processors") &&
      (*value)["processors"].is_array()) {
    steps = (*value)["processors"].get_ref<const json::array_t&>();
  }
  for (const json& step : steps) {
    const json type = step.is_object() ? step.value("type", json()) : json();
    if (type == "ByteLevel") continue;  // moves offsets only
    if (type != "TemplateProcessing" || read.has_template) {
      return tokenizer.Unexpected("post_processor", "ByteLevel or one TemplateProcessing");
    }
    RETURN_IF_ERROR(ReadTemplate(tokenizer, step, read));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<TokenizerJson> ReadTokenizerJson(std::string_view text, uint32_t rows) {
  ASSIGN_OR_RETURN(const JsonObject tokenizer, JsonObject::Parse(text, "tokenizer.json"));
  ASSIGN_OR_RETURN(const JsonObject model, tokenizer.Object("model"));
  RETURN_IF_ERROR(CheckModel(model));
  TokenizerJson read;
  ASSIGN_OR_RETURN(read.pipeline, ReadTextPipeline(tokenizer));
  ASSIGN_OR_RETURN(read.table, ReadTokenTable(tokenizer, rows));
  ASSIGN_OR_RETURN(read.unknown, ReadUnknown(model, read.table));
  ASSIGN_OR_RETURN(read.merges, ReadMerges(model));
  if (!read.pipeline.is_byte_level) {
    MarkSentencePieceTokens(read.unknown, read.table);
    ASSIGN_OR_RETURN(read.scores, ScoresOf(read.merges, read.table));
    read.merges.clear();
  }
  RETURN_IF_ERROR(ReadPostProcessor(tokenizer, read));
  return read;
}

}  // namespace fleetune
