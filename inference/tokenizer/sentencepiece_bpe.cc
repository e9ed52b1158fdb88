#include "inference/tokenizer/sentencepiece_bpe.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "base/utf8.h"
#include "fmt/format.h"
#include "inference/tokenizer/vocabulary_tokenizer.h"

namespace fleetune {
namespace {

constexpr std::string_view kSpace = "\xe2\x96\x81";  // U+2581
constexpr int32_t kNone = -1;

// A run of the text that is one token so far; a list linked both ways. Empty when its left neighbour took it.
struct Symbol {
  uint32_t begin = 0;
  uint32_t size = 0;
  int32_t previous = kNone;
  int32_t next = kNone;
};

// Two neighbours that make a token together. Out of date when their joint size is no longer `size`.
struct Join {
  float score = 0;
  int32_t left = 0;
  int32_t right = 0;
  uint32_t size = 0;

  // For a heap that gives the best score first, of equal ones the leftmost.
  friend bool operator<(const Join& a, const Join& b) {
    return a.score < b.score || (a.score == b.score && a.left > b.left);
  }
};

std::string EscapeSpaces(std::string_view text, bool prefix) {
  std::string escaped;
  escaped.reserve(text.size() + text.size() / 2 + kSpace.size());
  if (prefix) escaped += kSpace;
  for (const char c : text) {
    if (c == ' ') {
      escaped += kSpace;
    } else {
      escaped += c;
    }
  }
  return escaped;
}

std::string UnescapeSpaces(std::string_view text) {
  std::string plain;
  for (size_t at; (at = text.find(kSpace)) != std::string_view::npos; text.remove_prefix(at + kSpace.size())) {
    plain.append(text.substr(0, at)).push_back(' ');
  }
  return plain.append(text);
}

// Bytes of the first word with the spaces before it: up to a space that follows something else.
size_t WordSize(std::string_view escaped) {
  size_t begin = 0;
  while (escaped.substr(begin).starts_with(kSpace)) begin += kSpace.size();
  return std::min(escaped.find(kSpace, begin), escaped.size());
}

class SentencePieceBpe final : public VocabularyTokenizer {
 public:
  SentencePieceBpe(Vocabulary vocabulary, bool adds_space, std::vector<float> scores,
                   const std::array<int32_t, 256>& byte_tokens)
      : VocabularyTokenizer(std::move(vocabulary), /*adds_bos=*/true, adds_space),
        scores_(std::move(scores)),
        byte_tokens_(byte_tokens),
        byte_values_(this->vocabulary().tokens.size(), kNone) {
    for (int32_t byte = 0; byte < 256; ++byte) {
      if (byte_tokens_[byte] != kNone) byte_values_[byte_tokens_[byte]] = static_cast<int16_t>(byte);
    }
    for (const auto& [text, token] : this->vocabulary().ids) {
      longest_ = std::max(longest_, text.size());
      if (WordSize(text) < text.size()) tokens_span_words_ = true;
    }
  }

 protected:
  void AppendTokens(std::string_view text, bool starts, std::vector<int32_t>& tokens) const override {
    const std::string escaped = EscapeSpaces(text, starts && adds_space());
    SymbolMerger merger(*this);
    for (std::string_view rest = escaped; !rest.empty();) {
      // No join crosses from one word to the next, so each may be merged alone: the same tokens, much faster.
      const std::string_view word = rest.substr(0, tokens_span_words_ ? rest.size() : WordSize(rest));
      const std::vector<Symbol>& symbols = merger.Run(word);
      for (int32_t i = 0; i != kNone; i = symbols[i].next) {
        AppendToken(word.substr(symbols[i].begin, symbols[i].size), tokens);
      }
      rest.remove_prefix(word.size());
    }
  }

  void AppendText(int32_t token, std::string& text) const override {
    if (byte_values_[token] != kNone) {
      text.push_back(static_cast<char>(byte_values_[token]));
    } else if (vocabulary().type(token) == TokenType::kUserDefined) {
      text += vocabulary().text(token);
    } else {
      text += UnescapeSpaces(vocabulary().text(token));
    }
  }

 private:
  // Joins neighbours, best first, until no two make a token, in buffers that are used again.
  class SymbolMerger {
   public:
    explicit SymbolMerger(const SentencePieceBpe& tokenizer) : tokenizer_(tokenizer) {}

    // The list of what is left begins at 0. Valid until the next call. `text` is not empty.
    const std::vector<Symbol>& Run(std::string_view text) {
      text_ = text;
      heap_.clear();
      StartWithCharacters();
      for (int32_t left = 0; symbols_[left].next != kNone; ++left) AddJoin(left, left + 1);
      while (!heap_.empty()) {
        std::pop_heap(heap_.begin(), heap_.end());
        const Join join = heap_.back();
        heap_.pop_back();
        Apply(join);
      }
      return symbols_;
    }

   private:
    // A byte that is no part of a character is a symbol too.
    void StartWithCharacters() {
      symbols_.clear();
      for (size_t begin = 0; begin < text_.size();) {
        const size_t size = std::max<size_t>(Utf8CharacterSize(text_.substr(begin)), 1);
        const int32_t index = static_cast<int32_t>(symbols_.size());
        symbols_.push_back({static_cast<uint32_t>(begin), static_cast<uint32_t>(size), index - 1, index + 1});
        begin += size;
      }
      symbols_.back().next = kNone;
    }

    void Apply(const Join& join) {
      Symbol& left = symbols_[join.left];
      Symbol& right = symbols_[join.right];
      if (left.size == 0 || right.size == 0 || left.size + right.size != join.size) return;
      left.size = join.size;
      left.next = right.next;
      right.size = 0;
      if (left.next != kNone) symbols_[left.next].previous = join.left;
      if (left.previous != kNone) AddJoin(left.previous, join.left);
      if (left.next != kNone) AddJoin(join.left, left.next);
    }

    void AddJoin(int32_t left, int32_t right) {
      const uint32_t size = symbols_[left].size + symbols_[right].size;
      if (size > tokenizer_.longest_) return;
      const auto& ids = tokenizer_.vocabulary().ids;
      const auto found = ids.find(text_.substr(symbols_[left].begin, size));
      if (found == ids.end()) return;
      heap_.push_back({tokenizer_.scores_[found->second], left, right, size});
      std::push_heap(heap_.begin(), heap_.end());
    }

    const SentencePieceBpe& tokenizer_;
    std::string_view text_;
    std::vector<Symbol> symbols_;
    std::vector<Join> heap_;
  };

  void AppendToken(std::string_view symbol, std::vector<int32_t>& tokens) const {
    if (const auto found = vocabulary().ids.find(symbol); found != vocabulary().ids.end()) {
      tokens.push_back(found->second);
      return;
    }
    const bool has_bytes = std::all_of(symbol.begin(), symbol.end(),
                                       [this](char c) { return byte_tokens_[static_cast<uint8_t>(c)] != kNone; });
    if (!has_bytes) {
      tokens.push_back(*vocabulary().unknown);  // there is one: ReadSentencePieceBpe
      return;
    }
    for (const char c : symbol) tokens.push_back(byte_tokens_[static_cast<uint8_t>(c)]);
  }

  std::vector<float> scores_;
  std::array<int32_t, 256> byte_tokens_;
  std::vector<int16_t> byte_values_;  // of each token, kNone if it is no byte
  size_t longest_ = 0;               // bytes of the longest normal token
  bool tokens_span_words_ = false;   // a normal token has a space after something else
};

absl::StatusOr<std::vector<float>> ReadScores(const GgufFile& file, size_t num_tokens) {
  constexpr char kScores[] = "tokenizer.ggml.scores";
  if (file.FindValue(kScores) == nullptr) {
    return absl::InvalidArgumentError(fmt::format("{}: the key is missing", kScores));
  }
  ASSIGN_OR_RETURN(std::vector<float> scores, file.GetFloats(kScores));
  if (scores.size() != num_tokens) {
    return absl::InvalidArgumentError(
        fmt::format("{}: expected {}, one a token, got {}", kScores, num_tokens, scores.size()));
  }
  for (size_t i = 0; i < scores.size(); ++i) {
    // A NaN has no order, and a heap without order has no end.
    if (std::isnan(scores[i])) return absl::InvalidArgumentError(fmt::format("{}: token {} has NaN", kScores, i));
  }
  return scores;
}

absl::StatusOr<std::array<int32_t, 256>> ReadByteTokens(const Vocabulary& vocabulary) {
  std::array<int32_t, 256> byte_tokens;
  byte_tokens.fill(kNone);
  for (int32_t token = 0; token < vocabulary.size(); ++token) {
    if (vocabulary.type(token) != TokenType::kByte) continue;
    const std::string& text = vocabulary.text(token);
    const bool has_form = text.size() == 6 && text.starts_with("<0x") && text.ends_with('>');
    const auto value = FromHex(has_form ? text.substr(3, 2) : "");
    if (!value.ok() || value->size() != 1) {
      return absl::InvalidArgumentError(
          fmt::format("tokenizer.ggml.tokens: expected a byte token <0xNN> at {}, got \"{}\"", token, text));
    }
    int32_t& slot = byte_tokens[value->front()];
    if (slot == kNone) slot = token;
  }
  return byte_tokens;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> ReadSentencePieceBpe(const GgufFile& file) {
  ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(file));
  if (file.FindValue("tokenizer.ggml.token_type") == nullptr) {
    return absl::InvalidArgumentError("tokenizer.ggml.token_type: the key is missing");
  }
  ASSIGN_OR_RETURN(std::vector<float> scores, ReadScores(file, vocabulary.tokens.size()));
  ASSIGN_OR_RETURN(const auto byte_tokens, ReadByteTokens(vocabulary));
  for (int32_t token = 0; token < vocabulary.size() && !vocabulary.unknown; ++token) {
    if (vocabulary.type(token) == TokenType::kUnknown) vocabulary.unknown = token;
  }
  const bool has_bytes = std::find(byte_tokens.begin(), byte_tokens.end(), kNone) == byte_tokens.end();
  if (!has_bytes && !vocabulary.unknown) {
    return absl::InvalidArgumentError(
        "tokenizer.ggml.tokens: expected an unknown token or all 256 byte tokens, got neither");
  }
  ASSIGN_OR_RETURN(const auto adds_space, OptionalBool(file, "tokenizer.ggml.add_space_prefix"));
  return std::make_unique<const SentencePieceBpe>(std::move(vocabulary), adds_space.value_or(true),
                                                  std::move(scores), byte_tokens);
}

}  // namespace fleetune
