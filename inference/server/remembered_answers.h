#pragma once

#include <deque>
#include <string>
#include <variant>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "base/mutex.h"
#include "inference/server/api_request.h"

namespace fleetune {

// The newest answers with what they answered, in memory alone, so that feedback can name one by its id. Thread-safe: a mutex,
// as requests of many threads end here.
class RememberedAnswers {
 public:
  static constexpr size_t kMaxAnswers = 256;
  static constexpr size_t kMaxBytes = 4u << 20;  // of all texts; what is larger alone is not remembered

  struct Answer {
    std::string id;
    std::variant<std::string, ApiMessages> prompt;
    std::string answer;
  };
  void Remember(Answer answer);
  // NotFound, with the field "id".
  absl::StatusOr<Answer> Find(const std::string& id) const;

 private:
  mutable Mutex mutex_;
  std::deque<Answer> answers_ ABSL_GUARDED_BY(mutex_);  // oldest first
  size_t bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace fleetune
