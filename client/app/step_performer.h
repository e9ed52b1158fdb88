#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/crypto/signature.h"
#include "base/random.h"
#include "client/app/cell_performer.h"
#include "client/app/device_folder.h"
#include "client/app/training_run.h"
#include "client/core/agent.h"
#include "client/core/ports.h"
#include "client/data/example_store.h"
#include "client/trainer/trainer_process.h"
#include "client/update/adapter_shelf.h"
#include "client/update/control_fetch.h"
#include "client/update/model_shelf.h"

namespace fleetune {

// What steps are performed with. All borrowed.
struct StepPorts {
  CoordinatorLink* link = nullptr;
  ExampleStore* examples = nullptr;
  PayloadStore* payloads = nullptr;
  CheckpointStore* checkpoints = nullptr;
  ControlStore* controls = nullptr;
  AdapterShelf* adapters = nullptr;
  ModelShelf* models = nullptr;
  RandomSource* random = nullptr;  // of the encoding: cryptographic
  CellPerformer* cells = nullptr;
  const PrivacyBooks* books = nullptr;
};

struct StepSettings {
  std::string downloads;           // a folder
  TrainerProcess::Options trainer;
  uint32_t threads = 0;
  uint32_t checkpoint_steps = 0;   // of a training, between two checkpoints; 0: none
  VerifyKey release_key;
  std::function<void(const std::string&)> warn;  // for the log: a plan was refused
};

// Performs the agent's steps: translates and calls, decides nothing. A step takes as long as one short call, or
// one slice of a download. Not thread-safe.
class StepPerformer {
 public:
  StepPerformer(const StepPorts& ports, StepSettings settings) : ports_(ports), settings_(std::move(settings)) {}

  // After a renewed certificate.
  void UseLink(CoordinatorLink* link) { ports_.link = link; }

  // The event that ends `step`; none for WaitUntil, and for TrainRound when it has begun: see run().
  std::optional<AgentEvent> Perform(const AgentStep& step, const CheckInReport& report);

  TrainingRun* run() { return run_.get(); }      // null if nothing is being trained
  void EndRun() { run_.reset(); }                // kills it if it still runs

 private:
  AgentEvent CheckIn(const CheckInReport& report);
  AgentEvent Fetch(const FetchBaseModel& step);
  AgentEvent Bring(const BringAdapter& step);
  AgentEvent Examine(const ExamineTask& step);
  AgentEvent Bring(const BringControl& step);
  std::optional<AgentEvent> Train(const TrainRound& step);
  AgentEvent Open(const OpenRoundUpload& step);
  AgentEvent Send(const SendChunk& step);
  AgentEvent Commit(const CommitRoundUpload& step);
  AgentEvent Tell(const TellDecline& step);
  absl::Status Begin(const TrainRound& step, const std::string& model_path, Adapter before);
  absl::Status PutControl(const TrainRound& step, TrainingInputs& inputs);
  absl::StatusOr<ModelFootprint> Footprint(const Digest& model);
  absl::StatusOr<std::vector<std::string>> Records(const std::string& tag);

  StepPorts ports_;
  const StepSettings settings_;
  std::unique_ptr<TrainingRun> run_;
  std::optional<ControlFetch> control_;                         // of the round that was asked for last
  std::optional<std::pair<Digest, ModelFootprint>> footprint_;  // of the last model that was looked at
  std::optional<std::pair<Digest, Bytes>> payload_;             // of the upload at hand, verified
};

}  // namespace fleetune
