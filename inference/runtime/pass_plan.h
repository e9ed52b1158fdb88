#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace fleetune {

// Of the tokens of a pass (kPassTokens), from prompts while others wait for their next token: what such a pass takes longer.
inline constexpr size_t kPromptTokensBeside = 32;
// Of answers, with their drafts: from there on products cost by the token, and a draft that is wrong costs as much as
// one that is right saves.
inline constexpr size_t kDraftedTokens = 16;

// What one answer may have read in a pass, at most.
struct PassShare {
  size_t prompt_tokens = 0;  // while its prompt is being read
  size_t draft_tokens = 0;   // beside its last token

  friend bool operator==(const PassShare&, const PassShare&) = default;
};

// Divides a pass among answers: each that has read its prompt gets its token, and prompts get equal parts of the rest, at
// least a token, so that nobody waits for another to end. `prompt_left`: tokens of each one's prompt to read; 0: it answers.
std::vector<PassShare> PlanPass(std::span<const size_t> prompt_left);

}  // namespace fleetune
