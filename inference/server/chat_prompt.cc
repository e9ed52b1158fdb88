#include "inference/server/chat_prompt.h"

namespace fleetune {

std::vector<int32_t> ChatTokens(const Tokenizer& tokenizer, ChatFamily family, const ApiMessages& messages) {
  std::vector<ChatTurn> turns;
  for (const ApiMessage& message : messages) turns.push_back({.role = message.role, .content = message.content});
  const std::vector<ChatPiece> pieces = RenderChat(family, turns, /*open_answer=*/true);
  std::vector<Tokenizer::TextPart> parts;
  for (const ChatPiece& piece : pieces) parts.push_back({.text = piece.text, .parse_special = piece.is_markup});
  return tokenizer.EncodeParts(parts, tokenizer.adds_bos());
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
