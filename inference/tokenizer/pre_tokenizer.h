#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

// Cuts a text into the pieces within which byte-level BPE merges: words, numbers, punctuation, spaces, by the
// regular expressions that tokenizer.ggml.pre names. Immutable, so thread-safe.
class PreTokenizer {
 public:
  // InvalidArgument with the name and those that are known.
  static absl::StatusOr<PreTokenizer> FromName(std::string_view name);

  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;
  ~PreTokenizer();

  // The text in order, nothing left out, in pieces that are not empty; views into it. Any bytes: each one
  // that is no part of a UTF-8 character is a piece.
  std::vector<std::string_view> Split(std::string_view text) const;

  // A piece that is a token stays one, whatever the merges say.
  bool keeps_whole_tokens() const;
  // The models with this pre-tokenizer expect BOS where the file does not say.
  bool adds_bos() const;

 private:
  struct Compiled;
  explicit PreTokenizer(std::unique_ptr<const Compiled> compiled);
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace fleetune
