#pragma once

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "client/trainer/job_message.h"

namespace fleetune {

// Does what a job says, in this process: reads plan and records, maps the model, trains B over the A of the plan's
// seed. `on_progress` is called after each step; false stops, and what was learned so far comes back.
//
// InvalidArgument (plan, record by number, B or spec that does not fit the model); errors of GgufFile::Open,
// Tokenizer::FromGguf and TrainAdapter.
absl::StatusOr<TrainingDone> RunTrainingJob(const TrainingJob& job,
                                            absl::FunctionRef<bool(const TrainingProgress&)> on_progress);

}  // namespace fleetune
