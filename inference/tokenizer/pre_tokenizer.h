#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
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

  // GPT-2's own expression, which byte-level tokenizers have without naming it.
  static constexpr char kGpt2Pattern[] =
      R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
  // The name of the pre-tokenizer that cuts by these expressions, one after the other; empty if there is none.
  static std::optional<std::string_view> NameOf(std::span<const std::string> patterns, bool keeps_whole_tokens);

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
