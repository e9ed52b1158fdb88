#pragma once

#include <cstdint>
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
  uint32_t ranks = 0;                // of B: the first so many are trained; 0: all
  std::vector<float> a = {};         // A of that version, in the order of its spec; empty: the one of the plan's seed
  std::vector<float> b;              // its B
  std::vector<std::string> records;  // JSON lines (lora/records); each at most kMaxRecordBytes
  uint32_t threads = 0;              // 0: all cores; at most kMaxTrainerThreads
  uint64_t memory_limit_bytes = 0;   // of the trainer's own memory, mapped model not counted; 0: none

  friend bool operator==(const TrainingJob&, const TrainingJob&) = default;
};

// A daemon's wish: finish the step at hand and answer with what was learned so far.
struct StopTraining {
  friend bool operator==(const StopTraining&, const StopTraining&) = default;
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
  uint64_t examples = 0;   // records trained on
  uint32_t steps = 0;      // fewer than planned if it was stopped

  friend bool operator==(const TrainingDone&, const TrainingDone&) = default;
};

// The other end: why nothing was learned. Never OK.
struct TrainingFailed {
  absl::Status status;

  friend bool operator==(const TrainingFailed&, const TrainingFailed&) = default;
};

using JobMessage = std::variant<TrainingJob, StopTraining, TrainingProgress, TrainingDone, TrainingFailed>;

inline constexpr uint32_t kMaxModelPathBytes = 4096;
inline constexpr uint32_t kMaxTrainerThreads = 1024;
inline constexpr uint32_t kMaxFailureBytes = 64 * 1024;  // longer messages are cut off
// B of the largest adapter (kMaxAdapterParameters floats) and half as much of records.
inline constexpr uint32_t kMaxJobFrameBytes = 3u << 29;

// The whole frame, its length first. ResourceExhausted naming the field over its limit.
absl::StatusOr<Bytes> EncodeJobFrame(const JobMessage& message);

// The inverse, of what follows the length. DataLoss (cut off, or bytes left over), InvalidArgument
// (unknown kind, a failure with code OK, a value that is not finite), ResourceExhausted (over a limit).
absl::StatusOr<JobMessage> DecodeJobFrame(std::span<const uint8_t> frame);

}  // namespace fleetune
