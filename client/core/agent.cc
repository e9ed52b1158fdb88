#include "client/core/agent.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"

namespace fleetune {
namespace {

bool IsTransient(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
      return false;
    default:
      return true;
  }
}

std::string Words(const absl::Status& status) { return std::string(status.message()); }

// The trainer refused for a reason that will be there next time.
bool IsHopeless(const absl::Status& status) {
  return status.code() == absl::StatusCode::kInvalidArgument || status.code() == absl::StatusCode::kNotFound ||
         status.code() == absl::StatusCode::kFailedPrecondition ||
         status.code() == absl::StatusCode::kResourceExhausted;
}

}  // namespace

Agent::Agent(DeviceState state, const AgentOptions& options, RandomSource* random)
    : state_(std::move(state)), options_(options), random_(random) {
  CHECK(options.attempts > 0);
  LoadWorkPlan();
}

AgentDecision Agent::Apply(std::span<const AgentEvent> events, TimePoint now) {
  now_ = now;
  decision_ = {};
  if (state_.work.has_value() && now_ >= state_.work->order.deadline) {
    GiveUpWork("its deadline passed");
  }
  for (const AgentEvent& event : events) {
    std::visit([this](const auto& happened) { On(happened); }, event);
  }
  decision_.step = Next();
  last_step_ = decision_.step;
  return std::move(decision_);
}

void Agent::On(const AgentStarted& event) {
  for (const ServedVersion& version : event.served) served_[version.task] = version;
  models_.insert(event.models.begin(), event.models.end());
  conditions_ = event.conditions;
  if (state_.work.has_value() && state_.work->attempts >= options_.attempts) {
    Decline(state_.work->order.round, fmt::format("the training was cut off {} times", state_.work->attempts));
  }
}

void Agent::On(const ConditionsChanged& event) {
  const bool more_memory = event.conditions.memory_bytes > conditions_.memory_bytes;
  conditions_ = event.conditions;
  if (more_memory && !training_) fit_.reset();
  if (more_memory) examined_.clear();
  if (training_ && (conditions_.paused || !conditions_.may_train)) {
    decision_.remarks.push_back("training stopped: " + conditions_.reason);
    GiveBackAttempt();
  }
}

void Agent::On(const CheckInAnswered& event) {
  failures_ = 0;
  next_check_in_ = now_ + event.next_check_in;
  skipped_.clear();
  tasks_.clear();
  for (const KnownTask& task : event.tasks) tasks_[task.plan.task] = task;
  if (event.invitation.has_value()) {
    Consider(*event.invitation);
  } else if (state_.work.has_value()) {
    GiveUpWork("the coordinator does not ask for it any more");
  }
}

void Agent::On(const StepProgressed&) { failures_ = 0; }

void Agent::On(const ModelReady& event) {
  failures_ = 0;
  models_.insert(event.sha256);
}

void Agent::On(const AdapterReady& event) {
  failures_ = 0;
  const auto* bring = std::get_if<BringAdapter>(&last_step_);
  if (bring == nullptr || bring->version != event.version) return;
  if (bring->serve) {
    served_[event.version.task] = event.version;
  } else {
    base_ = event.version;
  }
}

void Agent::On(const AdapterLost& event) {
  served_.erase(event.task);
  base_.reset();
  GiveBackAttempt();
}

void Agent::On(const ModelLost& event) {
  models_.erase(event.sha256);
  GiveBackAttempt();
}

void Agent::On(const TaskExamined& event) {
  const auto* examine = std::get_if<ExamineTask>(&last_step_);
  if (examine == nullptr || examine->plan.task != event.task) return;
  examined_.insert(event.task);
  const TaskFit fit = FitTask(examine->plan, event.model, conditions_.memory_bytes);
  if (!state_.work.has_value() || state_.work->order.task != event.task) {
    if (!fit.fits) decision_.remarks.push_back(fmt::format("task {} does not fit this device: {}", event.task, fit.reason));
    return;
  }
  if (event.examples < work_plan_->min_examples) {
    Decline(state_.work->order.round, fmt::format("{} examples here, the task asks for at least {}", event.examples,
                                                  work_plan_->min_examples));
  } else if (!fit.fits) {
    Decline(state_.work->order.round, fit.reason);
  } else {
    fit_ = fit;
  }
}

void Agent::On(const AttemptFailed& event) {
  if (!training_) return;
  training_ = false;
  const RoundWork& work = *state_.work;
  decision_.remarks.push_back(fmt::format("training attempt {} of {} for round {} failed: {}", work.attempts,
                                          options_.attempts, work.order.round, Words(event.status)));
  if (IsHopeless(event.status) || work.attempts >= options_.attempts) {
    Decline(work.order.round, "training failed: " + Words(event.status));
  }
}

void Agent::On(const UpdateEncoded& event) {
  if (!training_) return;
  training_ = false;
  state_.pending = PendingUpdate{.order = state_.work->order,
                                 .sha256 = event.sha256,
                                 .size = event.size,
                                 .parameters = event.parameters,
                                 .examples = event.examples};
  state_.work.reset();
  work_plan_.reset();
  upload_.reset();
}

void Agent::On(const UploadOpened& event) {
  failures_ = 0;
  const auto* open = std::get_if<OpenRoundUpload>(&last_step_);
  if (open == nullptr || !state_.pending.has_value() || state_.pending->order.round != open->round) return;
  if (event.committed) return CountUpdate();
  upload_ = Upload{.chunk_bytes = event.chunk_bytes,
                   .missing = {event.missing_chunks.begin(), event.missing_chunks.end()}};
  if (state_.pending->sending) return;
  const PendingUpdate& update = *state_.pending;
  state_.pending->sending = true;
  decision_.notes.push_back(fmt::format(
      "sending the encoded adapter delta of {} parameters trained on {} examples for task {}, round {}: {} bytes; "
      "no masks",
      update.parameters, update.examples, update.order.task, update.order.round, update.size));
}

void Agent::On(const ChunkStored& event) {
  failures_ = 0;
  if (!upload_.has_value()) return;
  std::erase(upload_->missing, event.index);
}

void Agent::On(const UpdateCounted&) {
  failures_ = 0;
  if (std::holds_alternative<CommitRoundUpload>(last_step_)) CountUpdate();
}

void Agent::On(const PayloadLost& event) {
  if (!state_.pending.has_value()) return;
  const std::string round = state_.pending->order.round;
  DropPending("its bytes on this device are damaged: " + Words(event.status));
  Decline(round, "the update was damaged on the device before it was sent");
}

void Agent::On(const DeclineHeard&) {
  failures_ = 0;
  state_.decline.reset();
}

void Agent::On(const StepFailed& event) {
  const absl::Status& status = event.status;
  if (std::holds_alternative<OpenRoundUpload>(last_step_)) return UploadFailed(status, /*opening=*/true);
  if (std::holds_alternative<SendChunk>(last_step_) || std::holds_alternative<CommitRoundUpload>(last_step_)) {
    return UploadFailed(status, /*opening=*/false);
  }
  if (std::holds_alternative<TellDecline>(last_step_) && !IsTransient(status)) {
    state_.decline.reset();  // the round is over: nobody waits for it
    return;
  }
  if (const auto* examine = std::get_if<ExamineTask>(&last_step_); examine != nullptr) {
    examined_.insert(examine->plan.task);
    const bool for_work = state_.work.has_value() && state_.work->order.task == examine->plan.task;
    if (for_work) return Decline(state_.work->order.round, Words(status));
    decision_.remarks.push_back(fmt::format("task {} cannot be examined: {}", examine->plan.task, Words(status)));
    return;
  }
  // A bad signature is not the connection's fault: the next check-in may bring another version.
  const bool refused = !IsTransient(status) || status.code() == absl::StatusCode::kUnauthenticated;
  const auto* bring = std::get_if<BringAdapter>(&last_step_);
  const auto* fetch = std::get_if<FetchBaseModel>(&last_step_);
  if (refused && (bring != nullptr || fetch != nullptr)) {
    decision_.remarks.push_back("cannot have what a task needs: " + Words(status));
    for (const auto& [name, task] : tasks_) {
      const bool concerned = bring != nullptr ? bring->plan.task == name : task.plan.base == fetch->sha256;
      if (concerned) skipped_.insert(name);
    }
    const bool for_work = state_.work.has_value() && (bring != nullptr ? bring->version.task == state_.work->order.task
                                                                       : fetch->sha256 == work_plan_->base);
    if (for_work) Decline(state_.work->order.round, Words(status));
    return;
  }
  BackOff(status);
}

void Agent::On(const AgentStopping&) { GiveBackAttempt(); }

void Agent::Consider(const RoundCall& call) {
  const RoundOrder order{.round = call.round,
                         .task = call.task,
                         .version = call.version,
                         .version_hash = call.version_hash,
                         .deadline = now_ + call.time_left};
  auto same = [&order](const RoundOrder& other) {
    return other.round == order.round && other.task == order.task && other.version == order.version &&
           other.version_hash == order.version_hash;
  };
  if (state_.decline.has_value() && state_.decline->round == call.round) return;  // it will hear
  if (const SettledRound* settled = FindSettled(call.round); settled != nullptr) {
    if (settled->end == RoundEnd::kDropped) Decline(call.round, "this device has dropped its work for the round");
    if (settled->end == RoundEnd::kDeclined) Decline(call.round, "this device has declined the round");
    return;
  }
  if (state_.pending.has_value()) {
    if (same(state_.pending->order)) return;
    const bool same_round = state_.pending->order.round == call.round;
    DropPending(fmt::format("the coordinator asks for round {} against version {} instead", call.round, call.version));
    if (same_round) return Decline(call.round, "the round asks for another version than the update was trained on");
  }
  if (state_.work.has_value()) {
    if (same(state_.work->order)) {
      state_.work->order.deadline = order.deadline;
      return;
    }
    GiveUpWork(fmt::format("the coordinator asks for round {} against version {} instead", call.round, call.version));
  }
  Accept(order);
}

void Agent::Accept(const RoundOrder& order) {
  const auto task = tasks_.find(order.task);
  if (task == tasks_.end()) {
    return Decline(order.round, fmt::format("no plan with a valid signature for task {}", order.task));
  }
  if (task->second.model_bytes > conditions_.memory_bytes) {
    return Decline(order.round, fmt::format("needs {} MB for the base model alone, {} MB allowed",
                                            task->second.model_bytes / 1'000'000, conditions_.memory_bytes / 1'000'000));
  }
  state_.work = RoundWork{.order = order, .plan = task->second.plan_text, .attempts = 0};
  base_.reset();
  LoadWorkPlan();
}

void Agent::CountUpdate() {
  const PendingUpdate update = *state_.pending;
  decision_.notes.push_back(fmt::format(
      "the coordinator counted the encoded adapter delta of {} parameters trained on {} examples for task {}, round {}: "
      "{} bytes sent; no masks",
      update.parameters, update.examples, update.order.task, update.order.round, update.size));
  Settle(update.order.round, RoundEnd::kCounted);
  state_.pending.reset();
  upload_.reset();
}

void Agent::DropPending(const std::string& why) {
  const PendingUpdate& update = *state_.pending;
  decision_.notes.push_back(fmt::format("dropped the update for task {}, round {} ({}): {}", update.order.task,
                                        update.order.round,
                                        update.sending ? "parts of it may have been sent" : "nothing of it was sent", why));
  Settle(update.order.round, RoundEnd::kDropped);
  state_.pending.reset();
  upload_.reset();
}

// Nothing of it was encoded, so the same round may begin anew.
void Agent::GiveUpWork(const std::string& why) {
  decision_.remarks.push_back(fmt::format("round {} is given up: {}", state_.work->order.round, why));
  StopTraining();
  state_.work.reset();
  work_plan_.reset();
}

void Agent::Decline(const std::string& round, const std::string& reason) {
  state_.decline = DeclineNotice{.round = round, .reason = reason.substr(0, kMaxDeclineReasonBytes)};
  decision_.notes.push_back(fmt::format("declined round {}: {}", round, reason));
  if (state_.work.has_value() && state_.work->order.round == round) GiveUpWork(reason);
  if (FindSettled(round) == nullptr) Settle(round, RoundEnd::kDeclined);
}

void Agent::StopTraining() {
  decision_.stop_training = decision_.stop_training || training_;
  training_ = false;
  fit_.reset();
}

// Stops a training that is not to blame.
void Agent::GiveBackAttempt() {
  if (!training_) return;
  StopTraining();
  --state_.work->attempts;
}

void Agent::Settle(const std::string& round, RoundEnd end) {
  if (FindSettled(round) != nullptr) return;
  state_.settled.push_back({.round = round, .end = end});
  if (state_.settled.size() > kMaxSettledRounds) state_.settled.erase(state_.settled.begin());
}

const SettledRound* Agent::FindSettled(const std::string& round) const {
  const auto found = std::find_if(state_.settled.begin(), state_.settled.end(),
                                  [&round](const SettledRound& settled) { return settled.round == round; });
  return found == state_.settled.end() ? nullptr : &*found;
}

void Agent::BackOff(const absl::Status& status) {
  ++failures_;
  const std::chrono::milliseconds delay = BackoffDelay(failures_, options_.backoff, *random_);
  retry_at_ = now_ + delay;
  decision_.remarks.push_back(fmt::format("trying again in {} ms: {}", delay.count(), Words(status)));
}

void Agent::UploadFailed(const absl::Status& status, bool opening) {
  if (opening && !IsTransient(status) && status.code() != absl::StatusCode::kDataLoss) {
    if (state_.pending.has_value()) DropPending("the coordinator refused it: " + Words(status));
    return;
  }
  // Opening again tells what is missing, or that the round is over.
  upload_.reset();
  BackOff(status);
}

void Agent::LoadWorkPlan() {
  fit_.reset();
  work_plan_.reset();
  if (!state_.work.has_value()) return;
  absl::StatusOr<TrainingPlan> plan = ParseTrainingPlan(state_.work->plan);
  if (plan.ok()) {
    work_plan_ = *std::move(plan);
  } else {
    GiveUpWork("its plan cannot be read: " + Words(plan.status()));
  }
}

AgentStep Agent::Next() {
  if (conditions_.paused) return WaitUntil{TimePoint::max()};
  if (std::optional<AgentStep> step = LocalStep(); step.has_value()) return *std::move(step);
  if (std::optional<AgentStep> step = ExamineStep(); step.has_value()) return *std::move(step);
  if (now_ < retry_at_) return WaitUntil{retry_at_};
  if (state_.decline.has_value()) return TellDecline{*state_.decline};
  if (now_ >= next_check_in_) return CheckInNow{};
  if (conditions_.may_transfer) {
    if (std::optional<AgentStep> step = TransferStep(); step.has_value()) return *std::move(step);
  }
  const TimePoint deadline = state_.work.has_value() ? state_.work->order.deadline : TimePoint::max();
  return WaitUntil{std::min(next_check_in_, deadline)};
}

// What needs no coordinator.
std::optional<AgentStep> Agent::LocalStep() {
  if (!state_.work.has_value() || training_ || !conditions_.may_train) return std::nullopt;
  const RoundOrder& order = state_.work->order;
  const ServedVersion wanted{order.task, order.version, order.version_hash};
  const auto served = served_.find(order.task);
  const bool here = base_ == wanted || (served != served_.end() && served->second == wanted);
  if (!here || !models_.contains(work_plan_->base)) return std::nullopt;
  if (!fit_.has_value()) return ExamineTask{.plan = *work_plan_};
  training_ = true;
  ++state_.work->attempts;
  const uint64_t used = std::min(fit_->memory.weights, conditions_.memory_bytes);
  return TrainRound{.order = order, .plan = *work_plan_, .memory_bytes = conditions_.memory_bytes - used};
}

// Says once of each task whether it fits, before anybody is invited.
std::optional<AgentStep> Agent::ExamineStep() {
  for (const auto& [name, task] : tasks_) {
    if (!examined_.contains(name) && models_.contains(task.plan.base)) return ExamineTask{.plan = task.plan};
  }
  return std::nullopt;
}

std::optional<AgentStep> Agent::TransferStep() {
  if (std::optional<AgentStep> step = UploadStep(); step.has_value()) return step;
  if (std::optional<AgentStep> step = ReleasedStep(); step.has_value()) return step;
  return WorkStep();
}

std::optional<AgentStep> Agent::UploadStep() {
  if (!state_.pending.has_value()) return std::nullopt;
  const PendingUpdate& update = *state_.pending;
  if (!upload_.has_value()) {
    return OpenRoundUpload{.round = update.order.round, .size = update.size, .sha256 = update.sha256};
  }
  if (upload_->missing.empty()) return CommitRoundUpload{.round = update.order.round, .sha256 = update.sha256};
  return SendChunk{.round = update.order.round,
                   .sha256 = update.sha256,
                   .index = upload_->missing.front(),
                   .chunk_bytes = upload_->chunk_bytes};
}

// Whatever keeps a task's released version from being what prompts are answered with.
std::optional<AgentStep> Agent::ReleasedStep() {
  for (const auto& [name, task] : tasks_) {
    const ServedVersion released{name, task.released_version, task.released_hash};
    const auto served = served_.find(name);
    if (skipped_.contains(name) || (served != served_.end() && served->second == released)) continue;
    if (!models_.contains(task.plan.base) && task.model_bytes > conditions_.memory_bytes) continue;
    if (!models_.contains(task.plan.base)) return FetchBaseModel{.sha256 = task.plan.base, .size = task.model_bytes};
    return BringAdapter{.plan = task.plan, .version = released, .serve = true};
  }
  return std::nullopt;
}

std::optional<AgentStep> Agent::WorkStep() {
  if (!state_.work.has_value() || training_) return std::nullopt;
  const RoundOrder& order = state_.work->order;
  if (!models_.contains(work_plan_->base)) {
    const auto task = tasks_.find(order.task);
    return FetchBaseModel{.sha256 = work_plan_->base, .size = task == tasks_.end() ? 0 : task->second.model_bytes};
  }
  const ServedVersion wanted{order.task, order.version, order.version_hash};
  const auto served = served_.find(order.task);
  if (base_ == wanted || (served != served_.end() && served->second == wanted)) return std::nullopt;
  return BringAdapter{.plan = *work_plan_, .version = wanted, .serve = false};
}

}  // namespace fleetune
