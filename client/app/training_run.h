#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>

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
  uint32_t threads = 0;
  std::string trainer;               // path of fleetune-trainer
};

// One attempt at a round's training: a fleetune-trainer at work, and what becomes of its result: delta, encoded
// update, durable payload. Killed when it is destroyed. Not thread-safe.
class TrainingRun {
 public:
  // Borrows `payloads` and `random`. Errors of TrainerProcess::Start.
  static absl::StatusOr<std::unique_ptr<TrainingRun>> Start(TrainingInputs inputs, PayloadStore* payloads,
                                                            RandomSource* random);

  // UpdateEncoded or AttemptFailed once it ended, else nothing after at most `timeout`.
  std::optional<AgentEvent> Poll(std::chrono::milliseconds timeout);

  const TrainingProgress& progress() const { return progress_; }  // the latest; step 0: none yet
  const TrainRound& order() const { return inputs_.order; }

 private:
  TrainingRun(TrainingInputs inputs, std::unique_ptr<TrainerProcess> process, PayloadStore* payloads,
              RandomSource* random)
      : inputs_(std::move(inputs)), process_(std::move(process)), payloads_(payloads), random_(random) {}
  absl::StatusOr<UpdateEncoded> Encode(const TrainingDone& done);

  TrainingInputs inputs_;
  std::unique_ptr<TrainerProcess> process_;
  PayloadStore* payloads_;
  RandomSource* random_;
  TrainingProgress progress_;
};

}  // namespace fleetune
