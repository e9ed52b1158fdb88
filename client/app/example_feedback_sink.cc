#include "client/app/example_feedback_sink.h"

#include <fmt/format.h>

#include "base/status_macros.h"
#include "client/app/feedback_record.h"
#include "client/data/audit_log.h"
#include "client/data/example_store.h"

namespace fleetune {

absl::Status ExampleFeedbackSink::Keep(const AnswerFeedback& feedback) {
  const FeedbackRecords records = RecordsOfFeedback(feedback);
  const bool pairs = records.preference.has_value() && !tags_.preferences.empty();
  for (const Record& record : {records.example, pairs ? Record(*records.preference) : records.example}) {
    if (FormatRecord(record).size() > kMaxRecordBytes) {
      return absl::InvalidArgumentError(fmt::format("an example has at most {} bytes", kMaxRecordBytes));
    }
  }
  MutexLock lock(&mutex_);
  RETURN_IF_ERROR(Add(tags_.examples, records.example, "an example"));
  return pairs ? Add(tags_.preferences, *records.preference, "a pair of answers") : absl::OkStatus();
}

absl::Status ExampleFeedbackSink::Add(const std::string& tag, const Record& record, const std::string& what) {
  // Opened for each: feedback is rare, and the daemon's own store belongs to its thread.
  ASSIGN_OR_RETURN(ExampleStore examples, ExampleStore::Open(folder_.root, clock_));
  absl::StatusOr<AddedExamples> added = examples.Add(tag, {&record, 1});
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
               .text = fmt::format("Took in {} from feedback on an answer (tag {})", what, tag)})
      .status();
}

}  // namespace fleetune
