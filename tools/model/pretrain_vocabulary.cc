#include "tools/model/pretrain_vocabulary.h"

#include <map>
#include <unordered_map>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "inference/tokenizer/byte_alphabet.h"
#include "inference/tokenizer/pre_tokenizer.h"

namespace fleetune {
namespace {

constexpr uint32_t kMaxLearnedTokens = 65'536;
constexpr char kPreTokenizer[] = "gpt-2";
enum TokenKind : int32_t { kNormal = 1, kControl = 3, kUnused = 5 };  // values of the format

// A distinct piece of the text: what tokens it consists of by now, and how often it occurs.
struct Word {
  std::vector<int32_t> tokens;
  uint64_t count = 0;
};

using Pair = std::pair<int32_t, int32_t>;

std::vector<Word> CountWords(std::string_view text, const PreTokenizer& pre_tokenizer) {
  std::map<std::string_view, uint64_t> counts;  // ordered: the result must not depend on a hash
  for (const std::string_view piece : pre_tokenizer.Split(text)) ++counts[piece];
  std::vector<Word> words;
  for (const auto& [piece, count] : counts) {
    Word word{.tokens = {}, .count = count};
    for (const char byte : piece) word.tokens.push_back(static_cast<uint8_t>(byte));
    words.push_back(std::move(word));
  }
  return words;
}

// The commonest pair; {-1, -1} if none occurs twice.
Pair CommonestPair(const std::vector<Word>& words) {
  std::map<Pair, uint64_t> counts;
  for (const Word& word : words) {
    for (size_t i = 0; i + 1 < word.tokens.size(); ++i) counts[{word.tokens[i], word.tokens[i + 1]}] += word.count;
  }
  Pair best{-1, -1};
  uint64_t most = 1;
  for (const auto& [pair, count] : counts) {
    if (count <= most) continue;
    most = count;
    best = pair;
  }
  return best;
}

void Merge(const Pair& pair, int32_t token, Word& word) {
  size_t kept = 0;
  for (size_t i = 0; i < word.tokens.size(); ++i) {
    const bool joined =
        i + 1 < word.tokens.size() && word.tokens[i] == pair.first && word.tokens[i + 1] == pair.second;
    word.tokens[kept++] = joined ? token : word.tokens[i];
    if (joined) ++i;
  }
  word.tokens.resize(kept);
}

std::vector<std::string> ByteTokens() {
  std::vector<std::string> tokens;
  for (uint32_t byte = 0; byte < kByteTokens; ++byte) tokens.push_back(ByteCharacter(static_cast<uint8_t>(byte)));
  return tokens;
}

void AddControlTokens(LearnedVocabulary& vocabulary) {
  vocabulary.tokens.push_back("<|bos|>");
  vocabulary.tokens.push_back("<|eos|>");
}

}  // namespace

absl::StatusOr<LearnedVocabulary> LearnVocabulary(std::string_view text, uint32_t size) {
  if (size < kByteTokens + kControlTokens || size > kMaxLearnedTokens) {
    return absl::InvalidArgumentError(absl::StrCat("a vocabulary has 258 to 65536 tokens, asked for ", size));
  }
  ASSIGN_OR_RETURN(const PreTokenizer pre_tokenizer, PreTokenizer::FromName(kPreTokenizer));
  std::vector<Word> words = CountWords(text, pre_tokenizer);
  LearnedVocabulary vocabulary{.tokens = ByteTokens(), .merges = {}};
  while (vocabulary.tokens.size() < size - kControlTokens) {
    const Pair pair = CommonestPair(words);
    if (pair.first < 0) break;
    const std::string& left = vocabulary.tokens[static_cast<size_t>(pair.first)];
    const std::string& right = vocabulary.tokens[static_cast<size_t>(pair.second)];
    vocabulary.merges.push_back(left + " " + right);
    const auto token = static_cast<int32_t>(vocabulary.tokens.size());
    vocabulary.tokens.push_back(left + right);
    for (Word& word : words) Merge(pair, token, word);
  }
  AddControlTokens(vocabulary);
  return vocabulary;
}

LearnedVocabulary ByteVocabulary(uint32_t size) {
  LearnedVocabulary vocabulary{.tokens = ByteTokens(), .merges = {}};
  for (uint32_t i = 0; vocabulary.tokens.size() + kControlTokens < size; ++i) {
    vocabulary.tokens.push_back(absl::StrCat("<|unused_", i, "|>"));
  }
  AddControlTokens(vocabulary);
  return vocabulary;
}

void AddVocabulary(const LearnedVocabulary& vocabulary, GgufWriter& writer) {
  const size_t size = vocabulary.tokens.size();
  std::vector<int32_t> kinds(size, kNormal);
  for (size_t i = 0; i < size; ++i) {
    if (vocabulary.tokens[i].starts_with("<|unused_")) kinds[i] = kUnused;
  }
  kinds[size - 2] = kinds[size - 1] = kControl;
  writer.AddString("tokenizer.ggml.model", "gpt2");
  writer.AddString("tokenizer.ggml.pre", kPreTokenizer);
  writer.AddStrings("tokenizer.ggml.tokens", vocabulary.tokens);
  writer.AddInts("tokenizer.ggml.token_type", kinds);
  writer.AddStrings("tokenizer.ggml.merges", vocabulary.merges);
  writer.AddUint32("tokenizer.ggml.bos_token_id", static_cast<uint32_t>(size - 2));
  writer.AddUint32("tokenizer.ggml.eos_token_id", static_cast<uint32_t>(size - 1));
  writer.AddBool("tokenizer.ggml.add_bos_token", true);
  writer.AddBool("tokenizer.ggml.add_eos_token", false);
}

}  // namespace fleetune
