#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "base/random.h"
#include "client/core/agent.h"
#include "client/core/ports.h"
#include "client/trainer/trainer_process.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// What a round's training starts from.
struct TrainingInputs {
  TrainRound order;
  std::string plan_text;             // FormatTrainingPlan
  std::string model_path;
  Adapter before;                    // the version to train against
  std::vector<std::string> records;  // JSON lines
  Bytes held_out_secret = {};        // ExampleStore::HeldOutSecret
  uint32_t threads = 0;
  TrainerProcess::Options trainer = {};
  uint32_t checkpoint_steps = 0;     // between two checkpoints; 0: none
  Bytes checkpoint = {};             // of an earlier attempt; empty: none
  OwnControl control = {};           // of a plan with control variates: this device's
  std::vector<float> correction = {};  // of such a plan: GradientCorrection
};

// What a run is made with. All borrowed.
struct TrainingPorts {
  PayloadStore* payloads = nullptr;
  CheckpointStore* checkpoints = nullptr;  // begun for this round
  RandomSource* random = nullptr;          // of the encoding: cryptographic
  ControlStore* controls = nullptr;        // of a plan with control variates: begun for its task
};

// One attempt at a round's training: a fleetune-trainer at work, its checkpoints, and what becomes of its result: delta,
// encoded update, durable payload, and what this device's control variates become if it is counted. Killed when it is destroyed. Not thread-safe.
class TrainingRun {
 public:
  // Errors of TrainerProcess::Start.
  static absl::StatusOr<std::unique_ptr<TrainingRun>> Start(TrainingInputs inputs, const TrainingPorts& ports);

  // UpdateEncoded or AttemptFailed once it ended, else nothing after at most `timeout`. Checkpoints that came are kept; one
  // that cannot be kept costs nothing but what it would have saved, unless its examples were purged: that ends the attempt.
  std::optional<AgentEvent> Poll(std::chrono::milliseconds timeout);

  // Pauses it, or lets it go on. What is so already is no news.
  void Hold(bool hold);

  // Whether a checkpoint was kept since this was last asked.
  bool TakeKept() { return std::exchange(kept_, false); }
  // What happened since this was last asked, in words for the log.
  std::vector<std::string> TakeNews() { return std::exchange(news_, {}); }

  const TrainingProgress& progress() const { return progress_; }  // the latest; step 0: none yet
  bool paused() const { return paused_; }                         // the trainer has said so, and was not resumed
  const TrainRound& order() const { return inputs_.order; }
  uint64_t memory_bytes() const { return process_->MemoryBytes(); }
  int fd() const { return process_->fd(); }  // readable when Poll() has something to do; -1: at once

 private:
  TrainingRun(TrainingInputs inputs, std::unique_ptr<TrainerProcess> process, const TrainingPorts& ports)
      : inputs_(std::move(inputs)), process_(std::move(process)), ports_(ports) {}
  std::optional<AgentEvent> On(TrainerEvent event);
  absl::Status Keep(const TrainingCheckpoint& checkpoint);
  absl::StatusOr<UpdateEncoded> Encode(const TrainingDone& done);

  TrainingInputs inputs_;
  std::unique_ptr<TrainerProcess> process_;
  TrainingPorts ports_;
  TrainingProgress progress_;
  bool held_ = false;
  bool paused_ = false;
  bool kept_ = false;
  std::vector<std::string> news_;
};

}  // namespace fleetune
