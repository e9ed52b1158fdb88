#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "inference/tokenizer/vocabulary.h"

namespace fleetune {

// Finds the tokens that stand whole in a text, before any merging: user-defined ones always, control ones
// ("<|im_end|>") where the caller trusts the text. Borrows the vocabulary. Immutable, so thread-safe.
class SpecialTokens {
 public:
  explicit SpecialTokens(const Vocabulary& vocabulary);

  // Plain text (token == -1) or a token. Views into the text.
  struct Fragment {
    std::string_view text;
    int32_t token = -1;
  };
  // The text in order, in pieces that are not empty. Where tokens overlap the longer one wins, wherever it
  // begins; of two occurrences of one token the first. That is the order of the reference implementation.
  std::vector<Fragment> Split(std::string_view text, bool parse_control) const;

 private:
  struct Entry {
    std::string_view text;
    int32_t token = 0;
    bool is_control = false;
  };
  std::vector<Entry> Occurring(std::string_view text, bool parse_control) const;

  std::vector<Entry> entries_;  // longest first
  std::array<std::vector<uint32_t>, 256> starting_with_;  // of entries_
};

}  // namespace fleetune
