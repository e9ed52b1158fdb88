#pragma once

#include <string>
#include <variant>

#include "absl/status/status.h"
#include "inference/server/api_request.h"

namespace fleetune {

// What somebody said of an answer.
struct AnswerFeedback {
  std::variant<std::string, ApiMessages> prompt;
  std::string answer;      // not empty
  std::string correction;  // what it should have been; empty: it was good
};

// Takes feedback in as examples to learn from. Implementations are thread-safe.
class FeedbackSink {
 public:
  virtual ~FeedbackSink() = default;
  // Durable when it returns. PermissionDenied if whom the device belongs to does not want it.
  virtual absl::Status Keep(const AnswerFeedback& feedback) = 0;
};

}  // namespace fleetune
