#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "inference/huggingface/json_object.h"
#include "inference/tokenizer/vocabulary.h"

namespace fleetune {

// The tokens of tokenizer.json by id: those of the model's vocabulary, and those that were added to it. Move-only:
// `ids` views `tokens`.
struct TokenTable {
  std::vector<std::string> tokens;
  // Added ones are control tokens where the file calls them special, else user-defined; ids that no token has are
  // unused.
  std::vector<TokenType> types;
  absl::flat_hash_map<std::string_view, int32_t> ids;  // of all but unused ones

  TokenTable() = default;
  TokenTable(TokenTable&&) = default;
  TokenTable& operator=(TokenTable&&) = default;

  std::optional<int32_t> Find(std::string_view text) const;
  bool IsNormal(std::string_view text) const;
};

// `rows`: ids of the embedding, of which the table has as many.
// InvalidArgument for an id that is none of these or stands twice, and for an added token that takes the spaces beside
// it, or stands only between words.
absl::StatusOr<TokenTable> ReadTokenTable(const JsonObject& tokenizer, uint32_t rows);

// Gives the tokens "<0x00>" to "<0xFF>" the type of bytes, and `unknown`, if there is one, that of the unknown token.
void MarkSentencePieceTokens(std::optional<int32_t> unknown, TokenTable& table);

}  // namespace fleetune
