#pragma once

#include <string>

#include "absl/base/thread_annotations.h"
#include "base/clock.h"
#include "base/mutex.h"
#include "client/app/device_folder.h"
#include "inference/server/feedback_sink.h"

namespace fleetune {

// Puts feedback among the device's private examples, and says so in its audit log. Made only where the owner wants it
// ([api] keep_feedback). Thread-safe: a mutex, since stores are not, and threads of the API come here.
class ExampleFeedbackSink final : public FeedbackSink {
 public:
  // `clock` is borrowed. `tag`: of the examples.
  ExampleFeedbackSink(DeviceFolder folder, std::string tag, const Clock& clock)
      : folder_(std::move(folder)), tag_(std::move(tag)), clock_(clock) {}

  // InvalidArgument for a record that is too large; FailedPrecondition if the store is full; errors of ExampleStore.
  absl::Status Keep(const AnswerFeedback& feedback) override;

 private:
  const DeviceFolder folder_;
  const std::string tag_;
  const Clock& clock_;
  Mutex mutex_;
};

}  // namespace fleetune
