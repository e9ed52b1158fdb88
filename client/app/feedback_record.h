#pragma once

#include <optional>

#include "inference/server/feedback_sink.h"
#include "lora/records/record.h"

namespace fleetune {

// What is learned from feedback.
struct FeedbackRecords {
  Record example;                        // the answer, if it was good, else what it should have been
  std::optional<Preference> preference;  // if it was bad: which of the two answers was liked better
};

// Requires an answer, and a correction that differs from it.
FeedbackRecords RecordsOfFeedback(const AnswerFeedback& feedback);

}  // namespace fleetune
