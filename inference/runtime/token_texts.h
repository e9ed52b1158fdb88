#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "inference/tokenizer/tokenizer.h"

namespace fleetune {

// What each token of a vocabulary writes. Immutable, so thread-safe.
class TokenTexts {
 public:
  explicit TokenTexts(const Tokenizer& tokenizer);

  struct Text {
    std::string bytes;      // empty of tokens that end a text
    bool is_plain = false;  // neither quote nor backslash nor control character
  };
  // Requires a token of the vocabulary.
  const Text& of(int32_t token) const { return texts_[static_cast<size_t>(token)]; }

 private:
  std::vector<Text> texts_;
};

}  // namespace fleetune
