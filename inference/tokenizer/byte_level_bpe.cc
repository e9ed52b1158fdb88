#include "inference/tokenizer/byte_level_bpe.h"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/tokenizer/byte_alphabet.h"
#include "inference/tokenizer/pre_tokenizer.h"
#include "inference/tokenizer/vocabulary_tokenizer.h"

namespace fleetune {
namespace {

constexpr char kMerges[] = "tokenizer.ggml.merges";
constexpr int32_t kNone = -1;   // no token, no neighbour
constexpr int32_t kTaken = -2;  // the left neighbour took this symbol

struct Merge {
  int32_t rank = 0;
  int32_t token = 0;
};
using MergeTable = absl::flat_hash_map<std::pair<int32_t, int32_t>, Merge>;

// A token of the piece so far; a list linked both ways.
struct Symbol {
  int32_t token = kNone;
  int32_t previous = kNone;
  int32_t next = kNone;
};

// A merge that two neighbours may make. Out of date when either is another token by now.
struct Join {
  Merge merge;
  int32_t left = 0;
  int32_t left_token = 0;
  int32_t right_token = 0;

  // For a heap that gives the lowest rank first, of equal ones the leftmost.
  friend bool operator<(const Join& a, const Join& b) {
    return a.merge.rank > b.merge.rank || (a.merge.rank == b.merge.rank && a.left > b.left);
  }
};

// Joins the symbols of one piece after the other, in buffers that are used again.
class PieceMerger {
 public:
  explicit PieceMerger(const MergeTable& merges) : merges_(merges) {}

  // The list of what is left begins at 0. Valid until the next call. `symbols` is not empty.
  const std::vector<Symbol>& Run(std::string_view piece, const std::array<int32_t, 256>& byte_tokens) {
    symbols_.clear();
    heap_.clear();
    for (const char byte : piece) {
      const int32_t index = static_cast<int32_t>(symbols_.size());
      symbols_.push_back({byte_tokens[static_cast<uint8_t>(byte)], index - 1, index + 1});
    }
    symbols_.back().next = kNone;
    for (int32_t left = 0; symbols_[left].next != kNone; ++left) AddJoin(left);
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Join join = heap_.back();
      heap_.pop_back();
      Apply(join);
    }
    return symbols_;
  }

 private:
  void Apply(const Join& join) {
    Symbol& left = symbols_[join.left];
    if (left.token != join.left_token || left.next == kNone) return;
    Symbol& right = symbols_[left.next];
    if (right.token != join.right_token) return;
    left.token = join.merge.token;
    right.token = kTaken;
    left.next = right.next;
    if (left.next != kNone) symbols_[left.next].previous = join.left;
    if (left.previous != kNone) AddJoin(left.previous);
    if (left.next != kNone) AddJoin(join.left);
  }

  void AddJoin(int32_t left) {
    const int32_t left_token = symbols_[left].token;
    const int32_t right_token = symbols_[symbols_[left].next].token;
    const auto found = merges_.find({left_token, right_token});
    if (found == merges_.end()) return;
    heap_.push_back({found->second, left, left_token, right_token});
    std::push_heap(heap_.begin(), heap_.end());
  }

  const MergeTable& merges_;
  std::vector<Symbol> symbols_;
  std::vector<Join> heap_;
};

class ByteLevelBpe final : public VocabularyTokenizer {
 public:
  ByteLevelBpe(Vocabulary vocabulary, PreTokenizer pre_tokenizer, MergeTable merges)
      : VocabularyTokenizer(std::move(vocabulary), pre_tokenizer.adds_bos(), /*adds_space=*/false),
        pre_tokenizer_(std::move(pre_tokenizer)),
        merges_(std::move(merges)) {
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = this->vocabulary().ids.find(ByteCharacter(static_cast<uint8_t>(byte)));
      byte_tokens_[byte] = found == this->vocabulary().ids.end() ? kNone : found->second;
    }
    if (!pre_tokenizer_.keeps_whole_tokens()) return;
    whole_texts_.reserve(this->vocabulary().ids.size());
    for (const auto& [text, token] : this->vocabulary().ids) {
      whole_texts_.push_back(BytesOfToken(text));
      whole_tokens_.try_emplace(whole_texts_.back(), token);
    }
  }

 protected:
  void AppendTokens(std::string_view text, bool /*starts*/, std::vector<int32_t>& tokens) const override {
    PieceMerger merger(merges_);
    for (const std::string_view piece : pre_tokenizer_.Split(text)) {
      if (const auto whole = whole_tokens_.find(piece); whole != whole_tokens_.end()) {
        tokens.push_back(whole->second);
        continue;
      }
      const std::vector<Symbol>& symbols = merger.Run(piece, byte_tokens_);
      for (int32_t i = 0; i != kNone; i = symbols[i].next) {
        if (symbols[i].token != kNone) {
          tokens.push_back(symbols[i].token);
        } else if (vocabulary().unknown) {
          tokens.push_back(*vocabulary().unknown);
        }
      }
    }
  }

  void AppendText(int32_t token, std::string& text) const override {
    // Tokens that were added by hand are written as they are.
    text += vocabulary().type(token) == TokenType::kNormal ? BytesOfToken(vocabulary().text(token))
                                                           : vocabulary().text(token);
  }

 private:
  PreTokenizer pre_tokenizer_;
  MergeTable merges_;
  std::array<int32_t, 256> byte_tokens_;
  // Normal tokens by their bytes; empty unless the pre-tokenizer keeps them. The keys view `whole_texts_`.
  std::vector<std::string> whole_texts_;
  absl::flat_hash_map<std::string_view, int32_t> whole_tokens_;
};

absl::StatusOr<int32_t> TokenOfMerge(const Vocabulary& vocabulary, std::string_view text, size_t rank) {
  const auto found = vocabulary.ids.find(text);
  if (found != vocabulary.ids.end()) return found->second;
  return absl::InvalidArgumentError(
      fmt::format("{}: merge {} names \"{}\", which is no normal token", kMerges, rank, text));
}

absl::StatusOr<MergeTable> ReadMerges(const GgufFile& file, const Vocabulary& vocabulary) {
  if (file.FindValue(kMerges) == nullptr) {
    return absl::InvalidArgumentError(fmt::format("{}: the key is missing", kMerges));
  }
  ASSIGN_OR_RETURN(const std::vector<std::string_view> merges, file.GetStrings(kMerges));
  if (merges.size() > kMaxMerges) {
    return absl::ResourceExhaustedError(
        fmt::format("{}: {} merges, at most {} are allowed", kMerges, merges.size(), kMaxMerges));
  }
  MergeTable table;
  table.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    // From 1 on: a token may begin with a space, though none in the byte alphabet does.
    const size_t space = merges[rank].find(' ', 1);
    if (space == std::string_view::npos) {
      return absl::InvalidArgumentError(
          fmt::format("{}: merge {}: expected two tokens and a space between them, got \"{}\"", kMerges, rank,
                      merges[rank]));
    }
    const std::string_view left = merges[rank].substr(0, space), right = merges[rank].substr(space + 1);
    ASSIGN_OR_RETURN(const int32_t left_token, TokenOfMerge(vocabulary, left, rank));
    ASSIGN_OR_RETURN(const int32_t right_token, TokenOfMerge(vocabulary, right, rank));
    ASSIGN_OR_RETURN(const int32_t token, TokenOfMerge(vocabulary, fmt::format("{}{}", left, right), rank));
    table.try_emplace({left_token, right_token}, Merge{static_cast<int32_t>(rank), token});
  }
  return table;
}

}  // namespace

absl::StatusOr<std::unique_ptr<const Tokenizer>> ReadByteLevelBpe(const GgufFile& file) {
  ASSIGN_OR_RETURN(Vocabulary vocabulary, ReadVocabulary(file));
  ASSIGN_OR_RETURN(const auto pre, OptionalString(file, "tokenizer.ggml.pre"));
  ASSIGN_OR_RETURN(PreTokenizer pre_tokenizer, PreTokenizer::FromName(pre.value_or("default")));
  ASSIGN_OR_RETURN(MergeTable merges, ReadMerges(file, vocabulary));
  return std::make_unique<const ByteLevelBpe>(std::move(vocabulary), std::move(pre_tokenizer), std::move(merges));
}

}  // namespace fleetune
