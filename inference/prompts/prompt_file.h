#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/digest.h"

namespace fleetune {

// A beginning of prompts with its keys and values, as a file's content: docs/formats/prompt_file.md.
struct PromptFile {
  Digest origin;                     // of all that the keys and values follow from besides the tokens
  std::vector<int32_t> tokens;       // at most kMaxPromptFileTokens
  std::span<const uint8_t> saved;    // Sequence::Save after them; borrowed
};

inline constexpr uint32_t kMaxPromptFileTokens = 1 << 20;  // over any model's context

// Requires at most kMaxPromptFileTokens; checked.
Bytes SerializePromptFile(const PromptFile& file);

// The result's `saved` is a view into `bytes`. DataLoss, saying which, if they are cut off, of another format or version, or not
// those of their hash; ResourceExhausted for too many tokens.
absl::StatusOr<PromptFile> ParsePromptFile(std::span<const uint8_t> bytes);

}  // namespace fleetune
