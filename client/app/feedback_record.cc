#include "client/app/feedback_record.h"

#include <string>
#include <utility>

namespace fleetune {

FeedbackRecords RecordsOfFeedback(const AnswerFeedback& feedback) {
  const bool good = feedback.correction.empty();
  const std::string& right = good ? feedback.answer : feedback.correction;
  if (const auto* messages = std::get_if<ApiMessages>(&feedback.prompt)) {
    Chat chat;
    for (const ApiMessage& message : *messages) chat.messages.push_back({.role = message.role, .content = message.content});
    chat.messages.push_back({.role = "assistant", .content = right});
    return {.example = std::move(chat), .preference = std::nullopt};
  }
  const std::string& prompt = std::get<std::string>(feedback.prompt);
  FeedbackRecords records{.example = PromptCompletion{.prompt = prompt, .completion = right}, .preference = std::nullopt};
  if (!good) records.preference = Preference{.prompt = prompt, .chosen = feedback.correction, .rejected = feedback.answer};
  return records;
}

}  // namespace fleetune
