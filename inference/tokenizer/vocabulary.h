#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"

namespace fleetune {

// tokenizer.ggml.token_type.
enum class TokenType : uint8_t {
  kUndefined = 0, kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6,
};

// The longest token of the vocabularies seen has 512 bytes.
inline constexpr size_t kMaxTokenBytes = 4096;

// What both tokenizers read from a GGUF file. Owns its text. Move-only: `ids` views `tokens`.
struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<TokenType> types;  // as many as tokens; kNormal where the file says nothing
  std::optional<int32_t> bos, eos, eot, unknown;
  std::optional<bool> adds_bos;
  std::string chat_template;
  // Ids of plain text: of normal tokens, those that text may become. Of equal ones the first.
  absl::flat_hash_map<std::string_view, int32_t> ids;

  Vocabulary() = default;
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  int32_t size() const { return static_cast<int32_t>(tokens.size()); }
  const std::string& text(int32_t token) const { return tokens[static_cast<size_t>(token)]; }
  TokenType type(int32_t token) const { return types[static_cast<size_t>(token)]; }
};

// InvalidArgument naming the key that is missing or contradictory; ResourceExhausted over kMaxVocabulary
// (tokenizer.h) or kMaxTokenBytes.
absl::StatusOr<Vocabulary> ReadVocabulary(const GgufFile& file);

// The file's value for `key`, or nothing if the key is absent; another type is InvalidArgument.
absl::StatusOr<std::optional<bool>> OptionalBool(const GgufFile& file, std::string_view key);
absl::StatusOr<std::optional<std::string_view>> OptionalString(const GgufFile& file, std::string_view key);

}  // namespace fleetune
