#pragma once

#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/huggingface/json_object.h"
#include "inference/huggingface/token_table.h"

namespace fleetune {

// Two tokens that become one, the first merges first.
using TokenMerge = std::pair<std::string, std::string>;

// `merges` of tokenizer.json's model: "left right", or a list of both as newer files have it.
absl::StatusOr<std::vector<TokenMerge>> ReadMerges(const JsonObject& model);

// The scores with which SentencePiece, which knows tokens but no merges, joins as these merges do: the token that is
// made first is the best. Tokens that are made in turns, sorted by their parts' sizes, had one score and have one
// again. By id; tokens that no merge makes have 0. InvalidArgument if there are none: a token that merges make at
// different times, or two tokens that make a third when they meet, and no merge does. What was learned by SentencePiece
// has such scores, and nothing else.
absl::StatusOr<std::vector<float>> ScoresOf(const std::vector<TokenMerge>& merges, const TokenTable& table);

}  // namespace fleetune
