// Rounds: which one is worked on, and what becomes of its training and its update.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "client/core/agent.h"
#include "client/core/step_status.h"
#include "lora/plan/update_options.h"

namespace fleetune {

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

// An attempt that came further than the last one was not in vain.
void Agent::On(const CheckpointKept&) {
  if (training_) state_.work->attempts = 1;
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
                                 .plan = state_.work->plan,
                                 .sha256 = event.sha256,
                                 .size = event.size,
                                 .parameters = event.parameters,
                                 .examples = event.examples,
                                 .seat = {},
                                 .ended_cell = {}};
  state_.work.reset();
  upload_.reset();
  cell_at_ = now_;
  LoadPlans();
}

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
    if (MustBeSettled()) {
      call_waits_ = true;
      return;
    }
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
    return Decline(order.round,
                   fmt::format("needs {} MB for the base model alone, {} MB allowed",
                               task->second.model_bytes / 1'000'000, conditions_.memory_bytes / 1'000'000));
  }
  if (const absl::Status allowed = CheckPlan(options_.privacy, task->second.plan); !allowed.ok()) {
    return Decline(order.round, Words(allowed));
  }
  const TrainingPlan& plan = task->second.plan;
  if (RanksTrainedBy(plan, options_.largest_rank) == 0) {
    return Decline(order.round, fmt::format("the task asks for at least rank {}, this device trains up to {}",
                                            RankGroupEnds(plan).front(), options_.largest_rank));
  }
  state_.work = RoundWork{.order = order, .plan = task->second.plan_text, .attempts = 0};
  base_.reset();
  LoadPlans();
}

void Agent::CountUpdate() {
  const PendingUpdate& update = *state_.pending;
  const bool masked = pending_plan_.has_value() && pending_plan_->secure.mode != SecureMode::kOff;
  const bool controlled = pending_plan_.has_value() && pending_plan_->train.control_variates;
  if (controlled) decision_.counted = CountedControl{.task = update.order.task, .round = update.order.round};
  decision_.notes.push_back(fmt::format(
      "the coordinator counted the {} of {} for task {}, round {}: {}{}",
      masked ? "masked update" : "encoded adapter delta", ContentOfPending(), update.order.task, update.order.round,
      masked ? "it learned a sum over devices alone" : fmt::format("{} bytes sent; no masks", update.size),
      controlled ? "; the control variates that stay on this device moved by what was sent" : ""));
  Settle(update.order.round, RoundEnd::kCounted);
  state_.pending.reset();
  upload_.reset();
  CallAgain();
}

// Whether the pending update may have been counted, and it matters whether it was.
bool Agent::MustBeSettled() const {
  return state_.pending->sending && pending_plan_.has_value() && pending_plan_->train.control_variates;
}

// What the coordinator asked for meanwhile, it will ask for again.
void Agent::CallAgain() {
  if (!std::exchange(call_waits_, false)) return;
  next_check_in_ = now_;
}

std::string Agent::ContentOfPending() const {
  const PendingUpdate& update = *state_.pending;
  const bool controlled = pending_plan_.has_value() && pending_plan_->train.control_variates;
  return fmt::format("{} parameters{} trained on {} examples", update.parameters,
                     controlled ? ", and of the change of their control variates," : "", update.examples);
}

void Agent::DropPending(const std::string& why) {
  const PendingUpdate& update = *state_.pending;
  const bool masked = pending_plan_.has_value() && pending_plan_->secure.mode != SecureMode::kOff;
  decision_.notes.push_back(fmt::format("dropped the update for task {}, round {} ({}): {}", update.order.task,
                                        update.order.round,
                                        !update.sending ? "nothing of it was sent"
                                        : masked        ? "masked parts of it may have been sent"
                                                        : "parts of it may have been sent",
                                        why));
  Settle(update.order.round, RoundEnd::kDropped);
  state_.pending.reset();
  upload_.reset();
  CallAgain();
}

// For what will not get better by asking again.
void Agent::DropAndDecline(const std::string& why, const std::string& reason) {
  const std::string round = state_.pending->order.round;
  DropPending(why);
  Decline(round, reason);
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

// As the conditions say, after all events.
void Agent::HoldTraining() {
  const bool hold = training_ && (conditions_.paused || !conditions_.may_train);
  if (hold != held_since_.has_value() && training_) {
    decision_.remarks.push_back(hold ? "training pauses: " + conditions_.reason : "training goes on");
  }
  if (!hold) {
    held_since_.reset();
  } else if (!held_since_.has_value()) {
    held_since_ = now_;
  } else if (now_ - *held_since_ >= options_.longest_hold) {
    decision_.remarks.push_back("the pause lasts long: training ended, to go on from its checkpoint");
    held_since_.reset();
    GiveBackAttempt();
  }
  decision_.hold_training = held_since_.has_value();
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

void Agent::LoadPlans() {
  fit_.reset();
  work_plan_.reset();
  pending_plan_.reset();
  if (state_.work.has_value()) {
    absl::StatusOr<TrainingPlan> plan = ParseTrainingPlan(state_.work->plan);
    if (plan.ok()) {
      work_plan_ = *std::move(plan);
    } else {
      GiveUpWork("its plan cannot be read: " + Words(plan.status()));
    }
  }
  if (state_.pending.has_value()) {
    absl::StatusOr<TrainingPlan> plan = ParseTrainingPlan(state_.pending->plan);
    if (plan.ok()) pending_plan_ = *std::move(plan);
  }
}

// The program or its owner's policy may be another than when they were stored.
void Agent::CheckStoredPlans() {
  if (state_.pending.has_value()) {
    const absl::Status allowed = pending_plan_.has_value() ? CheckPlan(options_.privacy, *pending_plan_)
                                                           : absl::InvalidArgumentError("its plan cannot be read");
    if (!allowed.ok()) DropAndDecline(Words(allowed), Words(allowed));
  }
  if (state_.work.has_value()) {
    const absl::Status allowed = CheckPlan(options_.privacy, *work_plan_);
    if (!allowed.ok()) Decline(state_.work->order.round, Words(allowed));
  }
}

}  // namespace fleetune
