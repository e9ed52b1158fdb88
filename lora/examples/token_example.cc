#include "lora/examples/token_example.h"

#include <algorithm>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "inference/tokenizer/chat_template.h"

namespace fleetune {
namespace {

constexpr uint32_t kMinTokens = 8;

// A part of a record's text.
struct MarkedPiece {
  std::string text;
  bool learned = false;
  bool is_markup = false;  // of the chat template, which alone may hold control tokens
};

class RecordTokenizer {
 public:
  RecordTokenizer(const Tokenizer& tokenizer, uint32_t max_tokens) : tokenizer_(tokenizer), max_tokens_(max_tokens) {}

  absl::Status Add(const PlainText& record, std::vector<TokenExample>& examples) const {
    std::vector<int32_t> tokens = tokenizer_.Encode(record.text, {.add_bos = false, .parse_special = false});
    if (tokenizer_.eos().has_value()) tokens.push_back(*tokenizer_.eos());
    const size_t room = max_tokens_ - (AddsBos() ? 1 : 0);
    for (size_t begin = 0; begin < tokens.size(); begin += room) {
      const size_t size = std::min(room, tokens.size() - begin);
      TokenExample example;
      if (AddsBos()) example.tokens.push_back(*tokenizer_.bos());
      example.tokens.insert(example.tokens.end(), tokens.begin() + begin, tokens.begin() + begin + size);
      example.loss.assign(example.tokens.size(), true);
      Keep(std::move(example), examples);
    }
    return absl::OkStatus();
  }

  absl::Status Add(const PromptCompletion& record, std::vector<TokenExample>& examples) const {
    Keep(Answered(record.prompt, record.completion), examples);
    return absl::OkStatus();
  }

  absl::Status Add(const Preference& record, std::vector<TokenExample>& examples) const {
    const RecordTokenizer half(tokenizer_, max_tokens_ / 2);
    ASSIGN_OR_RETURN(TokenExample example, half.Answered(record, record.chosen));
    ASSIGN_OR_RETURN(const TokenExample rejected, half.Answered(record, record.rejected));
    if (!HasLearned(example) || !HasLearned(rejected) || example == rejected) return absl::OkStatus();
    example.rejected = static_cast<uint32_t>(example.tokens.size());
    example.tokens.insert(example.tokens.end(), rejected.tokens.begin(), rejected.tokens.end());
    example.loss.insert(example.loss.end(), rejected.loss.begin(), rejected.loss.end());
    examples.push_back(std::move(example));
    return absl::OkStatus();
  }

  absl::Status Add(const Chat& record, std::vector<TokenExample>& examples) const {
    ASSIGN_OR_RETURN(const std::vector<MarkedPiece> pieces, Rendered(record.messages));
    Keep(Mark(pieces), examples);
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::vector<MarkedPiece>> Rendered(const std::vector<ChatMessage>& messages) const {
    ASSIGN_OR_RETURN(const ChatFamily family, RecognizeChatTemplate(tokenizer_.chat_template()));
    std::vector<ChatTurn> turns;
    for (const ChatMessage& message : messages) turns.push_back({message.role, message.content});
    std::vector<MarkedPiece> pieces;
    for (ChatPiece& piece : RenderChat(family, turns, /*open_answer=*/false)) {
      pieces.push_back({std::move(piece.text), piece.is_answer, piece.is_markup});
    }
    return pieces;
  }

  // Of a chat the last turn alone is compared, whatever the assistant said before.
  absl::StatusOr<TokenExample> Answered(const Preference& record, const std::string& answer) const {
    if (record.turns.empty()) return Answered(record.prompt, answer);
    std::vector<ChatMessage> messages = record.turns;
    messages.push_back({.role = "assistant", .content = answer});
    ASSIGN_OR_RETURN(std::vector<MarkedPiece> pieces, Rendered(messages));
    auto piece = pieces.rbegin();
    while (piece != pieces.rend() && !piece->learned) ++piece;
    while (piece != pieces.rend() && piece->learned) ++piece;
    for (; piece != pieces.rend(); ++piece) piece->learned = false;
    return Mark(pieces);
  }

  TokenExample Answered(const std::string& prompt, const std::string& answer) const {
    TokenExample example = Mark({{.text = prompt}, {.text = answer, .learned = true}});
    if (tokenizer_.eos().has_value() && example.tokens.size() < max_tokens_) {
      example.tokens.push_back(*tokenizer_.eos());
      example.loss.push_back(true);
    }
    return example;
  }

  bool AddsBos() const { return tokenizer_.adds_bos() && tokenizer_.bos().has_value(); }

  // Tokens of all pieces as one text, as a generator would meet them, so a piece's first token may differ from
  // what it is alone. A token counts as learned from where the tokens of what precedes the piece stop to agree.
  TokenExample Mark(const std::vector<MarkedPiece>& pieces) const {
    std::vector<Tokenizer::TextPart> parts;
    for (const MarkedPiece& piece : pieces) parts.push_back({piece.text, piece.is_markup});
    TokenExample example;
    example.tokens = Encode(parts);
    example.tokens.resize(std::min<size_t>(example.tokens.size(), max_tokens_));
    example.loss.assign(example.tokens.size(), false);

    size_t begin = AddsBos() ? 1 : 0;
    for (size_t i = 0; i < pieces.size() && begin < example.tokens.size(); ++i) {
      const bool last = i + 1 == pieces.size();
      if (!last && pieces[i].learned == pieces[i + 1].learned) continue;  // nothing ends here
      const size_t end =
          last ? example.tokens.size() : CommonPrefix(example.tokens, Encode(std::span(parts).first(i + 1)));
      for (size_t j = begin; j < end; ++j) example.loss[j] = pieces[i].learned;
      begin = std::max(begin, end);
    }
    return example;
  }

  static size_t CommonPrefix(const std::vector<int32_t>& a, const std::vector<int32_t>& b) {
    return static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
  }

  std::vector<int32_t> Encode(std::span<const Tokenizer::TextPart> parts) const {
    std::vector<int32_t> tokens = tokenizer_.EncodeParts(parts, AddsBos());
    // A chat template may write the BOS itself.
    if (AddsBos() && tokens.size() > 1 && tokens[1] == *tokenizer_.bos()) tokens.erase(tokens.begin());
    return tokens;
  }

  static bool HasLearned(const TokenExample& example) {
    return !example.loss.empty() && std::find(example.loss.begin() + 1, example.loss.end(), true) != example.loss.end();
  }

  static void Keep(TokenExample example, std::vector<TokenExample>& examples) {
    if (HasLearned(example)) examples.push_back(std::move(example));
  }

  const Tokenizer& tokenizer_;
  const uint32_t max_tokens_;
};

}  // namespace

absl::StatusOr<std::vector<TokenExample>> TokenizeRecords(std::span<const Record> records, const Tokenizer& tokenizer,
                                                          uint32_t max_tokens) {
  if (max_tokens < kMinTokens) {
    return absl::InvalidArgumentError("an example needs room for at least 8 tokens, got " + std::to_string(max_tokens));
  }
  const RecordTokenizer record_tokenizer(tokenizer, max_tokens);
  std::vector<TokenExample> examples;
  for (const Record& record : records) {
    RETURN_IF_ERROR(std::visit([&](const auto& kind) { return record_tokenizer.Add(kind, examples); }, record));
  }
  if (examples.empty()) {
    return absl::InvalidArgumentError("no token to learn in " + std::to_string(records.size()) + " records");
  }
  return examples;
}

TokenExample ChosenOf(const TokenExample& example) {
  if (example.rejected == 0) return example;
  const auto size = static_cast<ptrdiff_t>(example.rejected);
  return {.tokens = {example.tokens.begin(), example.tokens.begin() + size},
          .loss = {example.loss.begin(), example.loss.begin() + size},
          .rejected = 0};
}

}  // namespace fleetune
