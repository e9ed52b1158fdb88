#include "lora/train/example_check.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace fleetune {

uint64_t CountLearned(const TokenExample& example) {
  if (example.loss.empty()) return 0;
  return static_cast<uint64_t>(std::count(example.loss.begin() + 1, example.loss.end(), true));
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
    if (CountLearned(example) == 0) {
      return absl::InvalidArgumentError(absl::StrCat("example ", i, " has no token to learn"));
    }
  }
  return absl::OkStatus();
}

}  // namespace fleetune
