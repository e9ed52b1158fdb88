#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/random.h"
#include "client/core/backoff.h"
#include "client/core/cell_check.h"
#include "client/core/check_in.h"
#include "client/core/device_state.h"
#include "lora/plan/task_fit.h"

namespace fleetune {

// The device's side of the fleet: checks in, keeps the released adapters, trains when invited, hands in the
// update. A pure decision core: events in, decisions out.

// What the machine and its owner allow at the moment.
struct DeviceConditions {
  bool paused = false;       // by the owner: neither training nor a word to the coordinator
  bool may_train = true;     // battery, heat, time of day
  bool memory_is_short = false;  // others need it: a training that only pauses would keep it
  bool may_transfer = true;  // models, adapters and updates; check-ins are small and always made
  std::string reason;        // why not, in words
  uint64_t memory_bytes = 0; // that training may use, the mapped model included
};

// What happened.
struct AgentStarted {  // first, once
  std::vector<ServedVersion> served;
  std::vector<Digest> models;
  DeviceConditions conditions;
};
struct Woke {};  // the time of WaitUntil came, or nothing in particular
struct ConditionsChanged { DeviceConditions conditions; };
struct CheckInAnswered {
  std::chrono::milliseconds next_check_in{};
  std::vector<KnownTask> tasks;  // those with a verified plan
  std::optional<RoundCall> invitation;
};
struct StepProgressed {};  // a part of the step was done: it will be asked for again
struct ModelReady { Digest sha256; };
struct AdapterReady { ServedVersion version; };
struct AdapterLost { std::string task; };  // no file of it can be read: it must be brought again
struct ModelLost { Digest sha256; };
struct TaskExamined {
  std::string task;
  ModelFootprint model;
  uint64_t examples = 0;
  absl::Status affordable = absl::OkStatus();  // PrivacyBooks::CanAfford
};
struct ControlReady { std::string round; };  // the server's control variates are here
struct CheckpointKept {};  // of the training at hand: the next attempt goes on from there
struct AttemptFailed { absl::Status status; };  // the training ended without a result
struct UpdateEncoded {  // the training ended, its encoded delta lies in the PayloadStore
  Digest sha256;
  uint64_t size = 0;
  uint64_t parameters = 0;
  uint64_t examples = 0;
};
struct UploadOpened {
  uint32_t chunk_bytes = 0;
  std::vector<uint32_t> missing_chunks;
  bool committed = false;
};
struct ChunkStored { uint32_t index = 0; };
struct UpdateCounted {};  // the coordinator acknowledged the whole upload
struct PayloadLost { Digest sha256; absl::Status status; };  // the PayloadStore has not these bytes any more
struct CellJoined {  // a session of the cell was begun; it and what it says first lie in the PayloadStore
  std::string cell;
  uint32_t min_inputs = 0;  // fewest devices in its sum
  Digest session;
  Digest message;
};
struct CellRefused { std::string cell; absl::Status status; };  // by this device; what was refused is not answered
struct PrivacyIsSpent { absl::Status status; };  // no cell of this plan can be afforded: nothing of it has left
struct CellWaits { std::chrono::milliseconds ask_again_in{}; };
struct CellAnswered {  // the session as it is after the coordinator's message, and its answer lie in the PayloadStore
  Digest session;
  Digest message;
};
struct CellMasked {  // the same, and instead of an answer the masked update
  Digest session;
  Digest sha256;
  uint64_t size = 0;
};
struct CellOver { bool counted = false; };
struct DeclineHeard {};
struct StepFailed { absl::Status status; };  // of any step but TrainRound
struct AgentStopping {};  // a clean end: a running attempt is given back
using AgentEvent =
    std::variant<AgentStarted, Woke, ConditionsChanged, CheckInAnswered, StepProgressed, ModelReady, AdapterReady, AdapterLost,
                 ModelLost, TaskExamined, ControlReady, CheckpointKept, AttemptFailed, UpdateEncoded, UploadOpened, ChunkStored, UpdateCounted, PayloadLost,
                 CellJoined, CellRefused, PrivacyIsSpent, CellWaits, CellAnswered, CellMasked, CellOver, DeclineHeard,
                 StepFailed, AgentStopping>;

// What to do next: one thing, whose end is told as an event.
struct WaitUntil { TimePoint time; };  // or until the training ends or conditions change; then Woke
struct CheckInNow {};
struct FetchBaseModel { Digest sha256; uint64_t size = 0; };
struct BringAdapter {  // to hold `version`; `serve`: prompts are answered with it from then on
  TrainingPlan plan;
  ServedVersion version;
  bool serve = false;
};
struct ExamineTask { TrainingPlan plan; };  // read the model's shape, count the examples
struct BringControl {  // the server's control variates, that the training corrects its gradients by; at hand until another
                       // round's are brought
  RoundOrder order;
  TrainingPlan plan;
};
struct TrainRound {  // begin, and go on; UpdateEncoded or AttemptFailed is told whenever it ends
  RoundOrder order;
  TrainingPlan plan;
  uint64_t memory_bytes = 0;  // of the trainer's own, the mapped model not counted
  uint32_t ranks = 0;         // of B: the first so many are trained; 0: all
};
struct TakeCellSeat {  // and begin a session there, if the cell is what the plan says, and its noise can be paid for: CellJoined,
                       // CellRefused, PrivacyIsSpent
  RoundOrder order;
  TrainingPlan plan;
  uint64_t parameters = 0;  // values in the delta
  std::string ended_cell;   // no second session there: CellWaits if it is offered again, until it is over for all
};
// Gives the session's last answer, takes what the cell says, and lets the session answer it: CellWaits, CellAnswered,
// CellMasked (once its noise is paid for), CellRefused, PrivacyIsSpent or CellOver. Without a session it only asks.
struct ExchangeInCell {
  std::string cell;
  std::optional<Digest> session;
  std::optional<Digest> message;
  Digest update;  // what is masked
  TrainingPlan plan;
  uint64_t parameters = 0;  // values in the delta
};
// In the next three `round` names the cell, if the update is masked.
struct OpenRoundUpload { std::string round; uint64_t size = 0; Digest sha256; };
struct SendChunk { std::string round; Digest sha256; uint32_t index = 0; uint32_t chunk_bytes = 0; };
struct CommitRoundUpload { std::string round; Digest sha256; };
struct TellDecline { DeclineNotice notice; };
using AgentStep = std::variant<WaitUntil, CheckInNow, FetchBaseModel, BringAdapter, ExamineTask, BringControl, TrainRound,
                               TakeCellSeat, ExchangeInCell, OpenRoundUpload, SendChunk, CommitRoundUpload, TellDecline>;

// An update with control variates that was counted.
struct CountedControl { std::string task; std::string round; };

// To be performed in this order: the notes into the audit log, the control variates moved (ControlStore::Accept), state()
// made durable (and payloads, checkpoints and proposals that it does not name deleted), the training killed if so, or
// paused, or gone on with, then the step.
struct AgentDecision {
  std::vector<std::string> notes;    // what leaves, or does not, in plain words
  std::vector<std::string> remarks;  // for the log only
  std::optional<CountedControl> counted;  // of a task with control variates
  bool stop_training = false;
  bool hold_training = false;        // the training at hand, if any, is to pause as long as this is so
  AgentStep step = WaitUntil{};
};

struct AgentOptions {
  BackoffOptions backoff;
  uint32_t attempts = 3;  // trainings of a round, in a row without a new checkpoint, before it is declined, > 0
  // A pause that lasts longer gives the memory back: the training ends, and later goes on from its checkpoint.
  std::chrono::milliseconds longest_hold = std::chrono::minutes(10);
  uint32_t cells = 20;    // failed seats of a round before it is declined, > 0
  BackoffOptions between_cells = {.first = std::chrono::milliseconds(500), .most = std::chrono::seconds(30)};
  PrivacyPolicy privacy;
  uint32_t largest_rank = 0;  // that this device trains; 0: any
};

// Deterministic but for `random` (jitter only). No clock, thread, wire or disk. Not thread-safe.
//
// Promises, whatever is lost, repeated or killed, if decisions are performed as said: for one round at most one
// update is ever encoded, and sent in one form to the round or, masked, in one form to each cell; an update of a task
// with secure aggregation never leaves without masks; a session goes on from where it answered last; an update is
// dropped only when it was counted, its round is over, another round took its place, too many cells failed, the owner's
// policy or privacy limit forbids it, or its bytes are damaged, and each drop leaves a note. This device's control variates
// move once for each update that was counted, and for no other; so one that was begun to be sent goes first, whatever
// other round is asked for, until its end is known.
class Agent {
 public:
  // Borrows `random`.
  Agent(DeviceState state, const AgentOptions& options, RandomSource* random);

  // Applies what happened, in this order, then decides once. Cannot fail: what makes no sense here is ignored.
  [[nodiscard]] AgentDecision Apply(std::span<const AgentEvent> events, TimePoint now);
  [[nodiscard]] AgentDecision Apply(const AgentEvent& event, TimePoint now) { return Apply({&event, 1}, now); }

  const DeviceState& state() const { return state_; }
  bool training() const { return training_; }

 private:
  // One a kind of event.
  void On(const AgentStarted& event);
  void On(const Woke&) {}
  void On(const ConditionsChanged& event);
  void On(const CheckInAnswered& event);
  void On(const StepProgressed& event);
  void On(const ModelReady& event);
  void On(const AdapterReady& event);
  void On(const AdapterLost& event);
  void On(const ModelLost& event);
  void On(const TaskExamined& event);
  void On(const ControlReady& event);
  void On(const CheckpointKept&);
  void On(const AttemptFailed& event);
  void On(const UpdateEncoded& event);
  void On(const UploadOpened& event);
  void On(const ChunkStored& event);
  void On(const UpdateCounted& event);
  void On(const PayloadLost& event);
  void On(const CellJoined& event);
  void On(const CellRefused& event);
  void On(const PrivacyIsSpent& event);
  void On(const CellWaits& event);
  void On(const CellAnswered& event);
  void On(const CellMasked& event);
  void On(const CellOver& event);
  void On(const DeclineHeard& event);
  void On(const StepFailed& event);
  void On(const AgentStopping& event);

  // agent_rounds.cc: what is worked on, and what becomes of it.
  void Consider(const RoundCall& call);
  void Accept(const RoundOrder& order);
  void CountUpdate();
  void DropPending(const std::string& why);
  void DropAndDecline(const std::string& why, const std::string& reason);
  void GiveUpWork(const std::string& why);
  void Decline(const std::string& round, const std::string& reason);
  bool MustBeSettled() const;
  void CallAgain();
  std::string ContentOfPending() const;
  void StopTraining();
  void HoldTraining();
  void GiveBackAttempt();
  void Settle(const std::string& round, RoundEnd end);
  const SettledRound* FindSettled(const std::string& round) const;
  void LoadPlans();
  void CheckStoredPlans();

  // agent_uploads.cc: an update, or its masked form, to the coordinator.
  struct UploadOf { std::string round; Digest sha256; uint64_t size = 0; };
  AgentStep UploadStep(const UploadOf& upload) const;
  std::optional<AgentStep> PendingStep() const;
  void UploadFailed(const absl::Status& status, bool opening);
  void UploadCommitted();

  // agent_cells.cc: a seat in a cell, from taking it to the cell's end.
  CellSeat* Seat();
  CellSeat* SeatExchangedIn();
  std::optional<AgentStep> CellStep() const;
  void CellHeard();
  void LeaveCell(const std::string& why);
  void EndSeat(const std::string& why);
  void CellFailed(const absl::Status& status);
  void CellUploadRefused(const absl::Status& status);

  // agent.cc
  void BackOff(const absl::Status& status);
  void ControlFailed(const absl::Status& status);
  bool LacksControl() const;
  AgentStep Next();
  std::optional<AgentStep> LocalStep();
  std::optional<AgentStep> ExamineStep();
  std::optional<AgentStep> TransferStep();
  std::optional<AgentStep> ReleasedStep();
  std::optional<AgentStep> WorkStep();

  DeviceState state_;
  const AgentOptions options_;
  RandomSource* random_;

  // What a restart may forget.
  TimePoint now_;
  DeviceConditions conditions_;
  std::map<std::string, KnownTask> tasks_;
  std::map<std::string, ServedVersion> served_;
  std::set<Digest> models_;
  std::set<std::string> skipped_;          // tasks whose released version cannot be had, until the next check-in
  std::optional<TrainingPlan> work_plan_;     // of state_.work
  std::optional<TrainingPlan> pending_plan_;  // of state_.pending
  std::optional<ServedVersion> base_;      // the version to train against, when it is here
  std::string control_round_;              // whose control variates of the server are here; empty: none
  bool call_waits_ = false;                // for the pending update to be settled
  std::optional<TaskFit> fit_;             // of state_.work, when it was examined
  std::set<std::string> examined_;         // tasks of which it was said whether they fit
  bool training_ = false;
  std::optional<TimePoint> held_since_;  // the training pauses
  struct Upload { uint32_t chunk_bytes = 0; std::deque<uint32_t> missing; };
  std::optional<Upload> upload_;
  TimePoint cell_at_;                   // before it the cell, or the next one, is left in peace
  std::optional<Digest> said_;          // to the cell, last
  bool ask_cell_ = false;               // before the upload is tried again
  uint32_t refused_uploads_ = 0;        // of the seat
  std::string refused_;                 // why the last cell was not joined
  TimePoint next_check_in_;
  TimePoint retry_at_;
  uint32_t failures_ = 0;  // of steps, in a row
  AgentDecision decision_;  // being made
  AgentStep last_step_ = WaitUntil{};
};

}  // namespace fleetune
