#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/tokenizer/tokenizer.h"
#include "lora/records/record.h"

namespace fleetune {

// A tokenized example. `loss[i]` says whether predicting tokens[i] counts; the first of a sequence is ignored.
struct TokenExample {
  std::vector<int32_t> tokens;
  std::vector<bool> loss;
  // Of a preference: where the sequence of prompt and rejected answer begins; before it lies that of prompt and chosen
  // answer. Neither knows of the other. 0: no preference, one sequence.
  uint32_t rejected = 0;

  friend bool operator==(const TokenExample&, const TokenExample&) = default;
};

// Records as the model sees them: BOS (if the model adds it), the text, EOS (if the model has one; a chat
// ends as its template ends a turn). What people wrote never becomes a control token, only a chat template's own words
// do. Loss on completion tokens only for prompt/completion, on the assistant's for chat, on all for plain text. Plain
// text longer than `max_tokens` is cut into pieces, each with a BOS of its own; other records are cut off, of a
// preference each answer with its prompt at half of `max_tokens`. Records in which nothing is left to learn are left
// out.
//
// InvalidArgument if `max_tokens` < 8, the chat template of a model that must read a chat is unknown, or nothing is
// left at all. Pure.
absl::StatusOr<std::vector<TokenExample>> TokenizeRecords(std::span<const Record> records,
                                                          const Tokenizer& tokenizer, uint32_t max_tokens);

// The chosen answer of a preference as an example to learn by itself; another example as it is.
TokenExample ChosenOf(const TokenExample& example);

}  // namespace fleetune
