#include "inference/huggingface/tokenizer_config.h"

#include "base/status_macros.h"
#include "inference/huggingface/json_object.h"

namespace fleetune {
namespace {

using nlohmann::json;

// A text, or an object with the text and how it is found.
absl::StatusOr<std::optional<std::string>> ReadToken(const JsonObject& config, std::string_view key) {
  const json* value = config.Find(key);
  if (value == nullptr || !value->is_object()) return config.OptionalText(key);
  ASSIGN_OR_RETURN(const JsonObject token, config.Object(key));
  return token.OptionalText("content");
}

absl::StatusOr<std::string> ReadChatTemplate(const JsonObject& config) {
  const json* value = config.Find("chat_template");
  if (value == nullptr || !value->is_array()) return config.TextOr("chat_template", "");
  for (const json& named : *value) {
    if (!named.is_object() || !named.contains("name") || !named.contains("template") ||
        !named["template"].is_string()) {
      return config.Unexpected("chat_template", "a text, or a list of names and templates");
    }
    if (named["name"] == "default") return named["template"].get<std::string>();
  }
  return "";
}

}  // namespace

absl::StatusOr<TokenizerConfig> ReadTokenizerConfig(std::string_view text) {
  ASSIGN_OR_RETURN(const JsonObject json, JsonObject::Parse(text, "tokenizer_config.json"));
  TokenizerConfig config;
  ASSIGN_OR_RETURN(config.bos, ReadToken(json, "bos_token"));
  ASSIGN_OR_RETURN(config.eos, ReadToken(json, "eos_token"));
  ASSIGN_OR_RETURN(config.pad, ReadToken(json, "pad_token"));
  ASSIGN_OR_RETURN(config.adds_bos, json.OptionalFlag("add_bos_token"));
  ASSIGN_OR_RETURN(config.adds_eos, json.OptionalFlag("add_eos_token"));
  ASSIGN_OR_RETURN(config.chat_template, ReadChatTemplate(json));
  return config;
}

}  // namespace fleetune
