#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "client/app/device_folder.h"
#include "inference/server/feedback_sink.h"
#include "lora/records/record.h"

namespace fleetune {

// Under which tags feedback is kept.
struct FeedbackTags {
  std::string examples;     // answers to learn as they are
  std::string preferences;  // pairs of answers of which one was liked better; empty: none are kept
};

// Puts feedback among the device's private examples, and says so in its audit log. Made only where the owner wants it
// ([api] keep_feedback). Thread-safe: a mutex, since stores are not, and threads of the API come here.
class ExampleFeedbackSink final : public FeedbackSink {
 public:
  // `clock` is borrowed.
  ExampleFeedbackSink(DeviceFolder folder, FeedbackTags tags, const Clock& clock)
      : folder_(std::move(folder)), tags_(std::move(tags)), clock_(clock) {}

  // InvalidArgument for a record that is too large; FailedPrecondition if the store is full; errors of ExampleStore. After an
  // error the same feedback again adds what is missing.
  absl::Status Keep(const AnswerFeedback& feedback) override;

 private:
  absl::Status Add(const std::string& tag, const Record& record, const std::string& what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const DeviceFolder folder_;
  const FeedbackTags tags_;
  const Clock& clock_;
  Mutex mutex_;
};

}  // namespace fleetune
