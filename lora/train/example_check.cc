#include "lora/train/example_check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace fleetune {

namespace {

// Of the sequence from `begin` to `end`, whose first token nothing predicts.
uint64_t CountMarked(const TokenExample& example, size_t begin, size_t end) {
  if (begin >= end) return 0;
  const auto first = example.loss.begin();
  return static_cast<uint64_t>(
      std::count(first + static_cast<ptrdiff_t>(begin) + 1, first + static_cast<ptrdiff_t>(end), true));
}

}  // namespace

uint64_t CountLearned(const TokenExample& example) {
  return example.rejected > 0 ? 0 : CountMarked(example, 0, example.loss.size());
}

absl::Status CheckExamples(std::span<const TokenExample> examples, const LlamaShape& shape, uint32_t max_tokens) {
  if (max_tokens > shape.context) {
    return absl::InvalidArgumentError(
        absl::StrCat("sequence_length is ", max_tokens, ", the model's context ", shape.context));
  }
  if (examples.empty()) return absl::InvalidArgumentError("no example to learn");
  for (size_t i = 0; i < examples.size(); ++i) {
    const TokenExample& example = examples[i];
    if (example.tokens.size() != example.loss.size() || example.tokens.empty() ||
        example.tokens.size() > max_tokens) {
      return absl::InvalidArgumentError(absl::StrCat("example ", i, " has ", example.tokens.size(), " tokens and ",
                                                     example.loss.size(), " marks; expected as many, 1 to ",
                                                     max_tokens));
    }
    for (const int32_t token : example.tokens) {
      if (token >= 0 && static_cast<uint32_t>(token) < shape.vocabulary) continue;
      return absl::InvalidArgumentError(absl::StrCat("example ", i, " has token ", token, "; the model knows 0 to ",
                                                     shape.vocabulary - 1));
    }
    if (example.rejected >= example.tokens.size()) {
      return absl::InvalidArgumentError(absl::StrCat("example ", i, " has a rejected answer from token ",
                                                     example.rejected, " on; it has ", example.tokens.size()));
    }
    if ((example.rejected > 0 && CountMarked(example, 0, example.rejected) == 0) ||
        CountMarked(example, example.rejected, example.tokens.size()) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("example ", i, " has no token to learn"));
    }
  }
  return absl::OkStatus();
}

}  // namespace fleetune
