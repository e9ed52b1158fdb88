#include "client/core/agent.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "client/core/step_status.h"
#include "lora/plan/update_options.h"

namespace fleetune {
Agent::Agent(DeviceState state, const AgentOptions& options, RandomSource* random)
    : state_(std::move(state)), options_(options), random_(random) {
  CHECK(options.attempts > 0 && options.cells > 0);
  LoadPlans();
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
  HoldTraining();
  decision_.step = Next();
  last_step_ = decision_.step;
  return std::move(decision_);
}

void Agent::On(const AgentStarted& event) {
  for (const ServedVersion& version : event.served) served_[version.task] = version;
  models_.insert(event.models.begin(), event.models.end());
  conditions_ = event.conditions;
  CheckStoredPlans();
  if (state_.work.has_value() && state_.work->attempts >= options_.attempts) {
    Decline(state_.work->order.round, fmt::format("the training was cut off {} times", state_.work->attempts));
  }
}

void Agent::On(const ConditionsChanged& event) {
  const bool more_memory = event.conditions.memory_bytes > conditions_.memory_bytes;
  conditions_ = event.conditions;
  if (more_memory && !training_) fit_.reset();
  if (more_memory) examined_.clear();
  if (training_ && conditions_.memory_is_short) {
    decision_.remarks.push_back("training ended, to go on from its checkpoint: " + conditions_.reason);
    GiveBackAttempt();
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
  } else if (!event.affordable.ok()) {
    Decline(state_.work->order.round, Words(event.affordable));
  } else {
    fit_ = fit;
  }
}

void Agent::On(const ControlReady& event) {
  failures_ = 0;
  if (std::holds_alternative<BringControl>(last_step_)) control_round_ = event.round;
}

void Agent::On(const DeclineHeard&) {
  failures_ = 0;
  state_.decline.reset();
}

void Agent::On(const StepFailed& event) {
  const absl::Status& status = event.status;
  if (std::holds_alternative<OpenRoundUpload>(last_step_)) return UploadFailed(status, /*opening=*/true);
  if (std::holds_alternative<TakeCellSeat>(last_step_) || std::holds_alternative<ExchangeInCell>(last_step_)) {
    return CellFailed(status);
  }
  if (std::holds_alternative<SendChunk>(last_step_) || std::holds_alternative<CommitRoundUpload>(last_step_)) {
    return UploadFailed(status, /*opening=*/false);
  }
  if (std::holds_alternative<BringControl>(last_step_)) return ControlFailed(status);
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

void Agent::BackOff(const absl::Status& status) {
  ++failures_;
  const std::chrono::milliseconds delay = BackoffDelay(failures_, options_.backoff, *random_);
  retry_at_ = now_ + delay;
  decision_.remarks.push_back(fmt::format("trying again in {} ms: {}", delay.count(), Words(status)));
}

// Bytes that were damaged on the way are asked for again; a round that is over is not.
void Agent::ControlFailed(const absl::Status& status) {
  if (IsTransient(status) || absl::IsDataLoss(status)) return BackOff(status);
  const std::string& round = std::get<BringControl>(last_step_).order.round;
  if (!state_.work.has_value() || state_.work->order.round != round) return;
  Decline(round, "cannot have the round's control variates: " + Words(status));
}

bool Agent::LacksControl() const {
  return work_plan_->train.control_variates && control_round_ != state_.work->order.round;
}

AgentStep Agent::Next() {
  TimePoint until = TimePoint::max();
  if (held_since_.has_value()) until = std::min(*held_since_ + options_.longest_hold, state_.work->order.deadline);
  if (conditions_.paused) return WaitUntil{until};
  if (std::optional<AgentStep> step = LocalStep(); step.has_value()) return *std::move(step);
  if (std::optional<AgentStep> step = ExamineStep(); step.has_value()) return *std::move(step);
  if (now_ < retry_at_) return WaitUntil{std::min(until, retry_at_)};
  if (state_.decline.has_value()) return TellDecline{*state_.decline};
  if (now_ >= next_check_in_) return CheckInNow{};
  if (conditions_.may_transfer) {
    if (std::optional<AgentStep> step = TransferStep(); step.has_value()) return *std::move(step);
  }
  until = std::min(until, next_check_in_);
  if (state_.work.has_value()) until = std::min(until, state_.work->order.deadline);
  if (state_.pending.has_value() && conditions_.may_transfer && cell_at_ > now_) until = std::min(until, cell_at_);
  return WaitUntil{until};
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
  if (LacksControl()) return std::nullopt;
  training_ = true;
  ++state_.work->attempts;
  const uint64_t used = std::min(fit_->memory.weights, conditions_.memory_bytes);
  return TrainRound{.order = order,
                    .plan = *work_plan_,
                    .memory_bytes = conditions_.memory_bytes - used,
                    .ranks = RanksTrainedBy(*work_plan_, options_.largest_rank)};
}

// Says once of each task whether it fits, before anybody is invited.
std::optional<AgentStep> Agent::ExamineStep() {
  for (const auto& [name, task] : tasks_) {
    if (!examined_.contains(name) && models_.contains(task.plan.base)) return ExamineTask{.plan = task.plan};
  }
  return std::nullopt;
}

std::optional<AgentStep> Agent::TransferStep() {
  if (std::optional<AgentStep> step = PendingStep(); step.has_value()) return step;
  if (std::optional<AgentStep> step = ReleasedStep(); step.has_value()) return step;
  return WorkStep();
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
  const bool here = base_ == wanted || (served != served_.end() && served->second == wanted);
  if (!here) return BringAdapter{.plan = *work_plan_, .version = wanted, .serve = false};
  if (LacksControl()) return BringControl{.order = order, .plan = *work_plan_};
  return std::nullopt;
}

}  // namespace fleetune
