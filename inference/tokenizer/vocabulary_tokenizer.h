#pragma once

#include <optional>
#include <string>
#include <vector>

#include "inference/tokenizer/special_tokens.h"
#include "inference/tokenizer/tokenizer.h"
#include "inference/tokenizer/vocabulary.h"

namespace fleetune {

// What both kinds of tokenizer share: special tokens, BOS, and what is left out when decoding.
class VocabularyTokenizer : public Tokenizer {
 public:
  std::vector<int32_t> Encode(std::string_view text, const EncodeOptions& options) const final;
  std::vector<int32_t> EncodeParts(std::span<const TextPart> parts, bool add_bos) const final;
  absl::StatusOr<std::string> Decode(std::span<const int32_t> tokens, bool strip_leading_space) const final;

  int32_t vocabulary_size() const final { return vocabulary_.size(); }
  std::optional<int32_t> bos() const final { return vocabulary_.bos; }
  std::optional<int32_t> eos() const final { return vocabulary_.eos; }
  std::optional<int32_t> eot() const final { return vocabulary_.eot; }
  bool adds_bos() const final { return adds_bos_; }
  bool IsEndOfText(int32_t token) const final;
  const std::string& chat_template() const final { return vocabulary_.chat_template; }

 protected:
  // `adds_bos` is the model's custom where the file does not say.
  VocabularyTokenizer(Vocabulary vocabulary, bool adds_bos, bool adds_space);

  // Appends the tokens of a text without special tokens; `starts` if a text starts here, or goes on after
  // a special token. Fewer than 2^28 bytes.
  virtual void AppendTokens(std::string_view text, bool starts, std::vector<int32_t>& tokens) const = 0;
  // Appends the text of a token that is neither control nor unknown.
  virtual void AppendText(int32_t token, std::string& text) const = 0;

  const Vocabulary& vocabulary() const { return vocabulary_; }
  bool adds_space() const { return adds_space_; }

 private:
  // `trusted` as for SpecialTokens::Split.
  std::vector<int32_t> EncodeText(std::string_view text, std::span<const std::string_view> trusted, bool add_bos) const;

  Vocabulary vocabulary_;
  SpecialTokens special_tokens_;
  bool adds_bos_;
  bool adds_space_;
  std::vector<int32_t> ends_of_text_;  // sorted
};

}  // namespace fleetune
