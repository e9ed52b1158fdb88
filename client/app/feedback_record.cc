#include "client/app/feedback_record.h"

#include <string>
#include <utility>
#include <vector>

namespace fleetune {

FeedbackRecords RecordsOfFeedback(const AnswerFeedback& feedback) {
  const bool good = feedback.correction.empty();
  const std::string& right = good ? feedback.answer : feedback.correction;
  if (const auto* messages = std::get_if<ApiMessages>(&feedback.prompt)) {
    std::vector<ChatMessage> turns;
    for (const ApiMessage& message : *messages) turns.push_back({.role = message.role, .content = message.content});
    Chat chat{.messages = turns};
    chat.messages.push_back({.role = "assistant", .content = right});
    FeedbackRecords records{.example = std::move(chat), .preference = std::nullopt};
    // After words of the assistant's own an answer would be no turn of its own.
    if (!good && turns.back().role != "assistant") {
      records.preference = Preference{
          .prompt = "", .chosen = feedback.correction, .rejected = feedback.answer, .turns = std::move(turns)};
    }
    return records;
  }
  const std::string& prompt = std::get<std::string>(feedback.prompt);
  FeedbackRecords records{.example = PromptCompletion{.prompt = prompt, .completion = right}, .preference = std::nullopt};
  if (!good) records.preference = Preference{.prompt = prompt, .chosen = feedback.correction, .rejected = feedback.answer};
  return records;
}

}  // namespace fleetune
