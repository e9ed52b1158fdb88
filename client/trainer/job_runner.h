#pragma once

#include "absl/status/statusor.h"
#include "client/trainer/job_channel.h"
#include "client/trainer/job_message.h"

namespace fleetune {

// Does what a job says, in this process: reads plan and records, maps the model, goes on from the checkpoint or begins, and
// trains what the plan's method says. Tells `daemon` how it goes and does as it wishes (job_control.h); asked to stop, it
// gives what was learned so far. Limits this process's memory to what the job says, for good, once the threads run.
// Of the plan's held_out_share of the records it learns nothing: they are measured.
//
// FailedPrecondition (all records are held out, a correction for a plan without control variates); InvalidArgument (plan, record by number, A, B, correction or spec that does not
// fit the model); ResourceExhausted (what is allowed, what is needed and what would fit); errors of GgufFile::Open,
// Tokenizer::FromGguf and AdapterTrainer. A checkpoint that cannot be used is no error: TrainingBegun says so.
absl::StatusOr<TrainingDone> RunTrainingJob(TrainingJob job, JobChannel& daemon);

}  // namespace fleetune
