#include "inference/server/chat_prompt.h"

#include <algorithm>

namespace fleetune {

std::vector<int32_t> ChatTokens(const Tokenizer& tokenizer, ChatFamily family, const ApiMessages& messages) {
  std::vector<ChatTurn> turns;
  for (const ApiMessage& message : messages) turns.push_back({.role = message.role, .content = message.content});
  const std::vector<ChatPiece> pieces = RenderChat(family, turns, /*open_answer=*/true);
  std::vector<Tokenizer::TextPart> parts;
  for (const ChatPiece& piece : pieces) parts.push_back({.text = piece.text, .parse_special = piece.is_markup});
  return tokenizer.EncodeParts(parts, tokenizer.adds_bos());
}

size_t SystemTokens(const Tokenizer& tokenizer, ChatFamily family, const ApiMessages& messages,
                    const std::vector<int32_t>& tokens) {
  const auto is_other = [](const ApiMessage& message) { return message.role != "system"; };
  ApiMessages alone(messages.begin(), std::ranges::find_if(messages, is_other));
  if (alone.empty()) return 0;
  alone.push_back({.role = "user", .content = ""});  // into whose turn some families put the system's words
  const std::vector<int32_t> other = ChatTokens(tokenizer, family, alone);
  return static_cast<size_t>(std::ranges::mismatch(tokens, other).in1 - tokens.begin());
}

std::string EndOfAnswer(ChatFamily family) {
  const ChatTurn turn = {.role = "assistant", .content = "answer"};
  std::string end;
  for (const ChatPiece& piece : RenderChat(family, {&turn, 1}, /*open_answer=*/false)) {
    if (piece.is_answer && piece.is_markup) end = piece.text;  // the last one
  }
  const size_t begin = end.find_first_not_of(" \n");
  return begin == std::string::npos ? "" : end.substr(begin, end.find_last_not_of(" \n") + 1 - begin);
}

}  // namespace fleetune
