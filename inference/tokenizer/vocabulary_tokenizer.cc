#include "inference/tokenizer/vocabulary_tokenizer.h"

#include <algorithm>
#include <array>

#include "absl/status/status.h"
#include "base/utf8.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

// Merging numbers its symbols with 32 bits. A longer text, which no device has, is encoded in parts.
constexpr size_t kMaxPartBytes = (size_t{1} << 28) - 4;

bool IsLeftOut(TokenType type) { return type == TokenType::kControl || type == TokenType::kUnknown; }

std::vector<int32_t> EndsOfText(const Vocabulary& vocabulary) {
  constexpr std::array<std::string_view, 8> kNames = {"<|eot_id|>",    "<|im_end|>", "<|end|>", "<end_of_turn>",
                                                      "<|endoftext|>", "<|eom_id|>", "</s>",    "<|end_of_text|>"};
  std::vector<int32_t> ends;
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    const bool is_named = vocabulary.type(token) == TokenType::kControl &&
                          std::find(kNames.begin(), kNames.end(), vocabulary.text(token)) != kNames.end();
    if (is_named || vocabulary.eos == token || vocabulary.eot == token) ends.push_back(token);
  }
  return ends;
}

// Where to cut so that at most kMaxPartBytes come first and no character is cut.
size_t PartSize(std::string_view text) {
  if (text.size() <= kMaxPartBytes) return text.size();
  for (size_t size = kMaxPartBytes; size > kMaxPartBytes - 4; --size) {
    if (Utf8CharacterSize(text.substr(size)) > 0) return size;
  }
  return kMaxPartBytes;
}

}  // namespace

VocabularyTokenizer::VocabularyTokenizer(Vocabulary vocabulary, bool adds_bos, bool adds_space)
    : vocabulary_(std::move(vocabulary)),
      special_tokens_(vocabulary_),
      adds_bos_(vocabulary_.adds_bos.value_or(adds_bos) && vocabulary_.bos.has_value()),
      adds_space_(adds_space),
      ends_of_text_(EndsOfText(vocabulary_)) {}

std::vector<int32_t> VocabularyTokenizer::Encode(std::string_view text, const EncodeOptions& options) const {
  if (!options.parse_special) return EncodeText(text, {}, options.add_bos);
  return EncodeText(text, {&text, 1}, options.add_bos);
}

std::vector<int32_t> VocabularyTokenizer::EncodeParts(std::span<const TextPart> parts, bool add_bos) const {
  std::string text;
  for (const TextPart& part : parts) text += part.text;
  std::vector<std::string_view> trusted;
  size_t begin = 0;
  bool goes_on = false;  // the part before is trusted, too
  for (const TextPart& part : parts) {
    if (part.parse_special && goes_on) {
      trusted.back() = {trusted.back().data(), trusted.back().size() + part.text.size()};
    } else if (part.parse_special) {
      trusted.push_back(std::string_view(text).substr(begin, part.text.size()));
    }
    goes_on = part.parse_special || (goes_on && part.text.empty());
    begin += part.text.size();
  }
  return EncodeText(text, trusted, add_bos);
}

std::vector<int32_t> VocabularyTokenizer::EncodeText(std::string_view text, std::span<const std::string_view> trusted,
                                                     bool add_bos) const {
  std::vector<int32_t> tokens;
  if (add_bos && vocabulary_.bos) tokens.push_back(*vocabulary_.bos);
  bool starts = true;
  for (SpecialTokens::Fragment fragment : special_tokens_.Split(text, trusted)) {
    if (fragment.token >= 0) {
      tokens.push_back(fragment.token);
      starts = true;
      continue;
    }
    while (!fragment.text.empty()) {
      const size_t size = PartSize(fragment.text);
      AppendTokens(fragment.text.substr(0, size), starts, tokens);
      fragment.text.remove_prefix(size);
      starts = false;
    }
  }
  return tokens;
}

absl::StatusOr<std::string> VocabularyTokenizer::Decode(std::span<const int32_t> tokens,
                                                        bool strip_leading_space) const {
  std::string text;
  bool starts = true;  // the encoder put a space here
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocabulary_.size()) {
      return absl::InvalidArgumentError(
          fmt::format("expected a token from 0 to {}, got {}", vocabulary_.size() - 1, token));
    }
    const TokenType type = vocabulary_.type(token);
    const size_t begin = text.size();
    if (!IsLeftOut(type)) AppendText(token, text);
    const bool is_special = IsLeftOut(type) || type == TokenType::kUserDefined;
    if (starts && !is_special && adds_space_ && strip_leading_space && text.size() > begin && text[begin] == ' ') {
      text.erase(begin, 1);
    }
    starts = is_special;
  }
  return text;
}

bool VocabularyTokenizer::IsEndOfText(int32_t token) const {
  return std::binary_search(ends_of_text_.begin(), ends_of_text_.end(), token);
}

}  // namespace fleetune
