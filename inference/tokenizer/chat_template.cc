#include "inference/tokenizer/chat_template.h"

#include "absl/status/status.h"
#include "base/utf8.h"
#include "fmt/format.h"

namespace fleetune {
namespace {

bool Contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

// The first `count` characters.
std::string_view Beginning(std::string_view text, size_t count) {
  size_t size = 0;
  for (; count > 0 && size < text.size(); --count) {
    const size_t character = Utf8CharacterSize(text.substr(size));
    size += character > 0 ? character : 1;
  }
  return text.substr(0, size);
}

// Families in which every turn has the form: before the role, role, after the role, content, end.
struct RoleForm {
  std::string_view before_role, after_role, end;
  std::string_view after_end;  // between turns; no part of an answer
  std::string_view assistant;  // how the assistant's role is written
};

RoleForm FormOf(ChatFamily family) {
  switch (family) {
    case ChatFamily::kLlama3:
      return {"<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>", "", "assistant"};
    case ChatFamily::kZephyr:
      return {"<|", "|>\n", "</s>", "\n", "assistant"};
    case ChatFamily::kPhi3:
      return {"<|", "|>\n", "<|end|>", "\n", "assistant"};
    case ChatFamily::kGemma:
      return {"<start_of_turn>", "\n", "<end_of_turn>", "\n", "model"};
    default:
      return {"<|im_start|>", "\n", "<|im_end|>", "\n", "assistant"};
  }
}

// Collects pieces; neighbours of one kind become one.
class PieceList {
 public:
  void Markup(std::string_view text, bool is_answer = false) { Add(text, is_answer, true); }
  void Words(std::string_view text, bool is_answer = false) { Add(text, is_answer, false); }
  std::vector<ChatPiece> Take() { return std::move(pieces_); }

 private:
  void Add(std::string_view text, bool is_answer, bool is_markup) {
    if (text.empty()) return;
    if (pieces_.empty() || pieces_.back().is_answer != is_answer || pieces_.back().is_markup != is_markup) {
      pieces_.push_back({"", is_answer, is_markup});
    }
    pieces_.back().text += text;
  }

  std::vector<ChatPiece> pieces_;
};

std::vector<ChatPiece> RenderWithRoles(const RoleForm& form, bool has_system, std::span<const ChatTurn> turns,
                                       bool open_answer) {
  PieceList pieces;
  std::string_view system;
  for (const ChatTurn& turn : turns) {
    if (turn.role == "system" && !has_system) {
      system = turn.content;
      continue;
    }
    const bool is_answer = turn.role == "assistant";
    pieces.Markup(form.before_role);
    if (is_answer) {
      pieces.Markup(form.assistant);
    } else if (turn.role == "system" || turn.role == "user") {
      pieces.Markup(turn.role);
    } else {
      pieces.Words(turn.role);
    }
    pieces.Markup(form.after_role);
    if (!is_answer && !system.empty()) {
      pieces.Words(fmt::format("{}\n\n", system));
      system = {};
    }
    pieces.Words(turn.content, is_answer);
    pieces.Markup(form.end, is_answer);
    pieces.Markup(form.after_end);
  }
  if (open_answer) pieces.Markup(fmt::format("{}{}{}", form.before_role, form.assistant, form.after_role));
  return pieces.Take();
}

// "[INST] question [/INST] answer </s>", of which Llama 2 begins each round but the first with BOS.
std::vector<ChatPiece> RenderInstructions(bool is_llama2, std::span<const ChatTurn> turns) {
  PieceList pieces;
  std::string_view system;
  bool answered = false;
  for (const ChatTurn& turn : turns) {
    if (turn.role == "system") {
      system = turn.content;
    } else if (turn.role == "assistant") {
      pieces.Markup(" ", true);
      pieces.Words(turn.content, true);
      pieces.Markup(is_llama2 ? " </s>" : "</s>", true);
      answered = true;
    } else {
      pieces.Markup(answered && is_llama2 ? "<s>[INST] " : "[INST] ");
      if (!system.empty()) {
        pieces.Markup(is_llama2 ? "<<SYS>>\n" : "");
        pieces.Words(system);
        pieces.Markup(is_llama2 ? "\n<</SYS>>\n\n" : "\n\n");
        system = {};
      }
      pieces.Words(turn.content);
      pieces.Markup(" [/INST]");
    }
  }
  return pieces.Take();
}

}  // namespace

absl::StatusOr<ChatFamily> RecognizeChatTemplate(std::string_view chat_template) {
  if (chat_template.empty() || Contains(chat_template, "<|im_start|>")) return ChatFamily::kChatML;
  if (Contains(chat_template, "<|start_header_id|>")) return ChatFamily::kLlama3;
  if (Contains(chat_template, "<start_of_turn>")) return ChatFamily::kGemma;
  if (Contains(chat_template, "[INST]")) {
    return Contains(chat_template, "<<SYS>>") ? ChatFamily::kLlama2 : ChatFamily::kMistral;
  }
  if (Contains(chat_template, "<|assistant|>") && Contains(chat_template, "<|user|>")) {
    return Contains(chat_template, "<|end|>") ? ChatFamily::kPhi3 : ChatFamily::kZephyr;
  }
  return absl::InvalidArgumentError(
      fmt::format("tokenizer.chat_template: expected a template of the ChatML, Llama 2, Llama 3, Zephyr, Gemma, "
                  "Phi 3 or Mistral family, got one that begins with \"{}\"",
                  Beginning(chat_template, 60)));
}

std::vector<ChatPiece> RenderChat(ChatFamily family, std::span<const ChatTurn> turns, bool open_answer) {
  // "[/INST]" already opens the answer.
  if (family == ChatFamily::kLlama2) return RenderInstructions(true, turns);
  if (family == ChatFamily::kMistral) return RenderInstructions(false, turns);
  return RenderWithRoles(FormOf(family), family != ChatFamily::kGemma, turns, open_answer);
}

}  // namespace fleetune
