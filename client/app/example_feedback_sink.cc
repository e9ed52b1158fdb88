#include "client/app/example_feedback_sink.h"

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/app/feedback_record.h"
#include "client/data/audit_log.h"
#include "client/data/example_store.h"

namespace fleetune {

absl::Status ExampleFeedbackSink::Keep(const AnswerFeedback& feedback) {
  const Record record = RecordOfFeedback(feedback);
  if (FormatRecord(record).size() > kMaxRecordBytes) {
    return absl::InvalidArgumentError(fmt::format("an example has at most {} bytes", kMaxRecordBytes));
  }
  MutexLock lock(&mutex_);
  // Opened for each: feedback is rare, and the daemon's own store belongs to its thread.
  ASSIGN_OR_RETURN(ExampleStore examples, ExampleStore::Open(folder_.root, clock_));
  absl::StatusOr<AddedExamples> added = examples.Add(tag_, {&record, 1});
  if (absl::IsResourceExhausted(added.status())) {
    return absl::FailedPreconditionError("the device's store of examples is full");
  }
  RETURN_IF_ERROR(added.status());
  if (added->added == 0) return absl::OkStatus();  // it has this one already
  ASSIGN_OR_RETURN(DeviceAuditLog audit, DeviceAuditLog::Open(folder_.root));
  return audit
      .Append({.time = clock_.Now(),
               .direction = AuditDirection::kLocal,
               .bytes = 0,
               .text = fmt::format("Took in an example from feedback on an answer (tag {})", tag_)})
      .status();
}

}  // namespace fleetune
