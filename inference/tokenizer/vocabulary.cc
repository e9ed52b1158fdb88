#include "inference/tokenizer/vocabulary.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/tokenizer/tokenizer.h"

namespace fleetune {
namespace {

constexpr char kTokens[] = "tokenizer.ggml.tokens";
constexpr char kTypes[] = "tokenizer.ggml.token_type";

absl::Status ReadTokens(const GgufFile& file, Vocabulary& vocabulary) {
  if (file.FindValue(kTokens) == nullptr) {
    return absl::InvalidArgumentError(fmt::format("{}: the key is missing", kTokens));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string_view> tokens, file.GetStrings(kTokens));
  if (tokens.empty()) return absl::InvalidArgumentError(fmt::format("{}: expected tokens, got none", kTokens));
  if (tokens.size() > static_cast<size_t>(kMaxVocabulary)) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: {} tokens, at most {} are allowed", kTokens, tokens.size(), kMaxVocabulary));
  }
  vocabulary.tokens.reserve(tokens.size());
  for (const std::string_view token : tokens) {
    if (token.size() > kMaxTokenBytes) {
      return absl::ResourceExhaustedError(fmt::format("{}: token {} has {} bytes, at most {} are allowed", kTokens,
                                                      vocabulary.tokens.size(), token.size(), kMaxTokenBytes));
    }
    vocabulary.tokens.emplace_back(token);
  }
  return absl::OkStatus();
}

absl::Status ReadTypes(const GgufFile& file, Vocabulary& vocabulary) {
  vocabulary.types.assign(vocabulary.tokens.size(), TokenType::kNormal);
  if (file.FindValue(kTypes) == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::vector<int64_t> types, file.GetInts(kTypes));
  if (types.size() != vocabulary.tokens.size()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected {}, one a token, got {}", kTypes, vocabulary.tokens.size(), types.size()));
  }
  for (size_t i = 0; i < types.size(); ++i) {
    if (types[i] < 0 || types[i] > static_cast<int64_t>(TokenType::kByte)) {
      return absl::InvalidArgumentError(
          fmt::format("{}: expected 0 to 6, got {} for token {}", kTypes, types[i], i));
    }
    vocabulary.types[i] = static_cast<TokenType>(types[i]);
  }
  return absl::OkStatus();
}

absl::Status ReadSpecialId(const GgufFile& file, const char* key, const Vocabulary& vocabulary,
                           std::optional<int32_t>& id) {
  if (file.FindValue(key) == nullptr) return absl::OkStatus();
  ASSIGN_OR_RETURN(const uint64_t value, file.GetUint(key));
  if (value >= vocabulary.tokens.size()) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected a token below {}, got {}", key, vocabulary.tokens.size(), value));
  }
  id = static_cast<int32_t>(value);
  return absl::OkStatus();
}

// Files made before tokenizer.ggml.eot_token_id have only the token itself.
std::optional<int32_t> FindEndOfTurn(const Vocabulary& vocabulary) {
  constexpr std::array<std::string_view, 4> kNames = {"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"};
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    if (vocabulary.type(token) == TokenType::kControl &&
        std::find(kNames.begin(), kNames.end(), vocabulary.text(token)) != kNames.end()) {
      return token;
    }
  }
  return std::nullopt;
}

void IndexPlainTokens(Vocabulary& vocabulary) {
  vocabulary.ids.reserve(vocabulary.tokens.size());
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    if (vocabulary.type(token) == TokenType::kNormal && !vocabulary.text(token).empty()) {
      vocabulary.ids.try_emplace(vocabulary.text(token), token);
    }
  }
}

}  // namespace

absl::StatusOr<std::optional<bool>> OptionalBool(const GgufFile& file, std::string_view key) {
  if (file.FindValue(key) == nullptr) return std::optional<bool>();
  ASSIGN_OR_RETURN(const bool value, file.GetBool(key));
  return std::optional<bool>(value);
}

absl::StatusOr<std::optional<std::string_view>> OptionalString(const GgufFile& file, std::string_view key) {
  if (file.FindValue(key) == nullptr) return std::optional<std::string_view>();
  ASSIGN_OR_RETURN(const std::string_view value, file.GetString(key));
  return std::optional<std::string_view>(value);
}

absl::StatusOr<Vocabulary> ReadVocabulary(const GgufFile& file) {
  Vocabulary vocabulary;
  RETURN_IF_ERROR(ReadTokens(file, vocabulary));
  RETURN_IF_ERROR(ReadTypes(file, vocabulary));
  RETURN_IF_ERROR(ReadSpecialId(file, "tokenizer.ggml.bos_token_id", vocabulary, vocabulary.bos));
  RETURN_IF_ERROR(ReadSpecialId(file, "tokenizer.ggml.eos_token_id", vocabulary, vocabulary.eos));
  RETURN_IF_ERROR(ReadSpecialId(file, "tokenizer.ggml.eot_token_id", vocabulary, vocabulary.eot));
  RETURN_IF_ERROR(ReadSpecialId(file, "tokenizer.ggml.unknown_token_id", vocabulary, vocabulary.unknown));
  if (!vocabulary.eot) vocabulary.eot = FindEndOfTurn(vocabulary);
  ASSIGN_OR_RETURN(vocabulary.adds_bos, OptionalBool(file, "tokenizer.ggml.add_bos_token"));
  if (vocabulary.adds_bos == true && !vocabulary.bos) {
    return absl::InvalidArgumentError("tokenizer.ggml.add_bos_token is true, but tokenizer.ggml.bos_token_id is missing");
  }
  ASSIGN_OR_RETURN(const auto chat_template, OptionalString(file, "tokenizer.chat_template"));
  vocabulary.chat_template = std::string(chat_template.value_or(""));
  IndexPlainTokens(vocabulary);
  return vocabulary;
}

}  // namespace fleetune
