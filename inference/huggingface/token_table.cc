#include "inference/huggingface/token_table.h"

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

using nlohmann::json;

absl::Status Invalid(std::string message) {
  return absl::InvalidArgumentError("tokenizer.json: " + std::move(message));
}

class TableReader {
 public:
  explicit TableReader(uint32_t rows) : taken_(rows, false) {
    table_.tokens.resize(rows);
    table_.types.assign(rows, TokenType::kUnused);
  }

  absl::Status AddVocabulary(const json& vocabulary) {
    for (const auto& [text, id] : vocabulary.items()) {
      ASSIGN_OR_RETURN(const size_t at, ReadId(text, id));
      if (taken_[at]) {
        return Invalid(
            fmt::format("model.vocab: {} has the id {}, as {} has", Shown(text), at, Shown(table_.tokens[at])));
      }
      Set(at, text, TokenType::kNormal);
    }
    return absl::OkStatus();
  }

  absl::Status AddAdded(const json& token) {
    const auto text = token.is_object() ? token.find("content") : token.end();
    if (!token.is_object() || text == token.end() || !text->is_string() ||
        text->get_ref<const std::string&>().empty() || !token.contains("id")) {
      return Invalid(fmt::format("added_tokens: expected an object with id and content, got {}", Shown(token)));
    }
    for (const char* flag : {"lstrip", "rstrip", "single_word"}) {
      if (token.contains(flag) && token[flag] != false) {
        return Invalid(fmt::format("added_tokens: {}: {} is not supported", Shown(*text), flag));
      }
    }
    ASSIGN_OR_RETURN(const size_t at, ReadId(text->get_ref<const std::string&>(), token["id"]));
    const bool is_special = token.contains("special") && token["special"] == true;
    Set(at, *text, is_special ? TokenType::kControl : TokenType::kUserDefined);
    return absl::OkStatus();
  }

  TokenTable Take() {
    for (size_t id = 0; id < taken_.size(); ++id) {
      if (taken_[id]) {
        table_.ids.try_emplace(table_.tokens[id], static_cast<int32_t>(id));
      } else {
        table_.tokens[id] = fmt::format("[PAD{}]", id);
      }
    }
    return std::move(table_);
  }

 private:
  absl::StatusOr<size_t> ReadId(const std::string& text, const json& id) const {
    if (id.is_number_unsigned() && id < taken_.size()) return id.get<size_t>();
    return Invalid(fmt::format("{}: expected an id from 0 to {}, a row of the embedding, got {}", Shown(text),
                               taken_.size() - 1, Shown(id)));
  }

  void Set(size_t id, std::string text, TokenType type) {
    taken_[id] = true;
    table_.tokens[id] = std::move(text);
    table_.types[id] = type;
  }

  std::vector<bool> taken_;
  TokenTable table_;
};

}  // namespace

std::optional<int32_t> TokenTable::Find(std::string_view text) const {
  const auto at = ids.find(text);
  return at == ids.end() ? std::nullopt : std::optional(at->second);
}

bool TokenTable::IsNormal(std::string_view text) const {
  const std::optional<int32_t> id = Find(text);
  return id && types[static_cast<size_t>(*id)] == TokenType::kNormal;
}

absl::StatusOr<TokenTable> ReadTokenTable(const JsonObject& tokenizer, uint32_t rows) {
  ASSIGN_OR_RETURN(const JsonObject model, tokenizer.Object("model"));
  const json* vocabulary = model.Find("vocab");
  if (vocabulary == nullptr || !vocabulary->is_object()) return model.Unexpected("vocab", "an object of ids by token");
  TableReader reader(rows);
  RETURN_IF_ERROR(reader.AddVocabulary(*vocabulary));
  const json* added = tokenizer.Find("added_tokens");
  if (added == nullptr) return reader.Take();
  if (!added->is_array()) return tokenizer.Unexpected("added_tokens", "a list");
  for (const json& token : *added) RETURN_IF_ERROR(reader.AddAdded(token));
  return reader.Take();
}

void MarkSentencePieceTokens(std::optional<int32_t> unknown, TokenTable& table) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string text = fmt::format("<0x{:02X}>", byte);
    if (table.IsNormal(text)) table.types[static_cast<size_t>(*table.Find(text))] = TokenType::kByte;
  }
  if (unknown) table.types[static_cast<size_t>(*unknown)] = TokenType::kUnknown;
}

}  // namespace fleetune
