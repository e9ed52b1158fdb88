#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

// Chat templates by family, recognised from the text of tokenizer.chat_template.
enum class ChatFamily { kChatML, kLlama2, kLlama3, kZephyr, kGemma, kPhi3, kMistral };

// InvalidArgument, with the template's first 60 characters, if no family is recognised. An empty
// template is ChatML, written with plain text where the vocabulary has no such control tokens.
absl::StatusOr<ChatFamily> RecognizeChatTemplate(std::string_view chat_template);

struct ChatTurn {
  std::string_view role;  // "system", "user" or "assistant"
  std::string_view content;
};

// A conversation as the pieces of text that the model sees; `is_answer` marks what an assistant said
// (its content and what ends its turn): the part that training learns. `is_markup` marks what the template
// wrote: give it to Tokenizer::EncodeParts with parse_special, the people's own words without, so that nobody can write
// a control token.
struct ChatPiece {
  std::string text;
  bool is_answer = false;
  bool is_markup = false;
  friend bool operator==(const ChatPiece&, const ChatPiece&) = default;
};

// The pieces, none empty, without the BOS that add_bos puts first; `open_answer` ends them where the assistant's
// answer begins. Any other role is written as the family writes roles, where it writes them, else as a user's; its name
// is no markup, since "endoftext" between "<|" and "|>" is a control token.
// Families that know no system role (Llama 2, Gemma, Mistral) put its content into the user turn that follows.
std::vector<ChatPiece> RenderChat(ChatFamily family, std::span<const ChatTurn> turns, bool open_answer);

}  // namespace fleetune
