#pragma once

#include <array>
#include <cstdint>
#include <span>
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
  // The text in order, in pieces that are not empty. Control tokens are found where they lie whole in one of `trusted`:
  // views into the text, in order, that neither overlap nor touch. Where tokens overlap the longer one wins, wherever
  // it begins; of two occurrences of one token the first. That is the order of the reference implementation.
  std::vector<Fragment> Split(std::string_view text, std::span<const std::string_view> trusted) const;

 private:
  struct Entry {
    std::string_view text;
    int32_t token = 0;
    bool is_control = false;
  };
  static bool Allows(const Entry& entry, std::string_view occurrence, std::span<const std::string_view> trusted);
  static size_t Find(const Entry& entry, std::string_view text, std::span<const std::string_view> trusted);
  std::vector<Entry> Occurring(std::string_view text, std::span<const std::string_view> trusted) const;

  std::vector<Entry> entries_;                            // longest first
  std::array<std::vector<uint32_t>, 256> starting_with_;  // of entries_
};

}  // namespace fleetune
