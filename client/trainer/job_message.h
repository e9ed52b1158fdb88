#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace fleetune {

// What the daemon and the trainer's process tell each other, and how it lies in bytes: a frame is u32
// length of what follows, u8 kind, then the fields little-endian. Plain data; functions are pure.

// A daemon's order: one local training.
struct TrainingJob {
  std::string plan;                  // FormatTrainingPlan (lora/plan); at most kMaxPlanBytes
  std::string model_path;            // the base model's GGUF file; at most kMaxModelPathBytes
  uint32_t version = 0;              // to start from: what is trained against it, the plan's method says
  uint32_t ranks = 0;                // of what is trained: the first so many; 0: all
  std::vector<float> a = {};         // A of that version, in the order of its spec; empty: the one of the plan's seed
  std::vector<float> b;              // its B
  std::vector<std::string> records;  // JSON lines (lora/records); each at most kMaxRecordBytes
  uint32_t threads = 0;              // 0: all cores; at most kMaxTrainerThreads
  uint64_t memory_limit_bytes = 0;   // of the trainer's own memory, mapped model not counted; 0: none
  uint32_t checkpoint_steps = 0;     // a TrainingCheckpoint each so many steps; 0: none
  Bytes checkpoint = {};             // of an earlier attempt, to go on from; empty: from the start
  Bytes held_out_secret = {};        // draws the records of the plan's held_out_share; at most kMaxHeldOutSecretBytes
  std::vector<float> correction = {};  // of a plan with control variates: what is added to each gradient; all finite

  friend bool operator==(const TrainingJob&, const TrainingJob&) = default;
};

// A daemon's wishes, heard between two forward passes. Stop: leave the step at hand and answer with what was learned so far.
struct StopTraining {
  friend bool operator==(const StopTraining&, const StopTraining&) = default;
};
// Do nothing until ResumeTraining. Answered by a TrainingCheckpoint, if steps were done since the last one and
// checkpoints are wished for, and TrainingPaused.
struct PauseTraining {
  friend bool operator==(const PauseTraining&, const PauseTraining&) = default;
};
struct ResumeTraining {
  friend bool operator==(const ResumeTraining&, const ResumeTraining&) = default;
};

// Before the first step.
struct TrainingBegun {
  uint32_t step = 0;      // done already, by the attempt whose checkpoint came with the job
  std::string not_used;   // why that checkpoint is of no use, in words; empty if it was used or none came

  friend bool operator==(const TrainingBegun&, const TrainingBegun&) = default;
};

struct TrainingPaused {
  uint32_t step = 0;  // done

  friend bool operator==(const TrainingPaused&, const TrainingPaused&) = default;
};

// What a next attempt at the same job goes on from: docs/formats/training_checkpoint.md. As secret as the examples.
struct TrainingCheckpoint {
  uint32_t step = 0;  // done
  Bytes state;        // at most kMaxJobCheckpointBytes; trainings with more send none

  friend bool operator==(const TrainingCheckpoint&, const TrainingCheckpoint&) = default;
};

// After each optimizer step.
struct TrainingProgress {
  uint32_t step = 0;   // from 1
  uint32_t steps = 0;  // in all
  double loss = 0;     // mean of the step, before its update
  uint64_t tokens = 0; // trained so far

  friend bool operator==(const TrainingProgress&, const TrainingProgress&) = default;
};

// The end: what was learned.
struct TrainingDone {
  std::vector<float> a = {};  // A after training; empty: not trained. All finite, as b
  std::vector<float> b;       // B; empty: not trained
  double first_loss = 0;
  double last_loss = 0;
  uint64_t tokens = 0;
  uint64_t examples = 0;   // records trained on: without those that are held out
  uint32_t steps = 0;      // fewer than planned if it was stopped
  std::optional<double> held_out_before = {};  // loss over the held-out part, if there is one
  std::optional<double> held_out_after = {};   // none if it was stopped, too
  std::vector<float> mean_gradient = {};  // of a plan with control variates: of A, then of B, as far as trained; all finite

  friend bool operator==(const TrainingDone&, const TrainingDone&) = default;
};

// The other end: why nothing was learned. Never OK.
struct TrainingFailed {
  absl::Status status;

  friend bool operator==(const TrainingFailed&, const TrainingFailed&) = default;
};

using JobMessage = std::variant<TrainingJob, StopTraining, TrainingProgress, TrainingDone, TrainingFailed, PauseTraining,
                                ResumeTraining, TrainingBegun, TrainingPaused, TrainingCheckpoint>;

inline constexpr uint32_t kMaxModelPathBytes = 4096;
inline constexpr uint32_t kMaxHeldOutSecretBytes = 64;
inline constexpr uint32_t kMaxTrainerThreads = 1024;
inline constexpr uint32_t kMaxFailureBytes = 64 * 1024;  // longer messages are cut off
// B of the largest adapter (kMaxAdapterParameters floats) and half as much of records and checkpoint.
inline constexpr uint32_t kMaxJobFrameBytes = 3u << 29;
// 44 million trained parameters, 33 with control variates: beyond them a checkpoint is no small thing to write every few minutes, either.
inline constexpr uint32_t kMaxJobCheckpointBytes = 1u << 29;

// The whole frame, its length first. ResourceExhausted naming the field over its limit.
absl::StatusOr<Bytes> EncodeJobFrame(const JobMessage& message);

// The inverse, of what follows the length. DataLoss (cut off, or bytes left over), InvalidArgument
// (unknown kind, a failure with code OK, a value that is not finite), ResourceExhausted (over a limit).
absl::StatusOr<JobMessage> DecodeJobFrame(std::span<const uint8_t> frame);

}  // namespace fleetune
