#include "client/app/feedback_record.h"

namespace fleetune {

Record RecordOfFeedback(const AnswerFeedback& feedback) {
  const bool good = feedback.correction.empty();
  if (const auto* messages = std::get_if<ApiMessages>(&feedback.prompt)) {
    Chat chat;
    for (const ApiMessage& message : *messages) chat.messages.push_back({.role = message.role, .content = message.content});
    chat.messages.push_back({.role = "assistant", .content = good ? feedback.answer : feedback.correction});
    return chat;
  }
  const std::string& prompt = std::get<std::string>(feedback.prompt);
  if (good) return PromptCompletion{.prompt = prompt, .completion = feedback.answer};
  return Preference{.prompt = prompt, .chosen = feedback.correction, .rejected = feedback.answer};
}

}  // namespace fleetune
