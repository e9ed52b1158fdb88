// Rounds from their start to their end; what closing makes of the sum stands in fleet_closing.cc.

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/core/fleet_state.h"

namespace fleetune {
namespace {

// A round after the events of one change, before they are durable.
struct AdvancedRound {
  OpenRound round;
  std::vector<Bytes> events;
  uint32_t first_event = 0;
  bool ended = false;
};

AdvancedRound AdvancedBy(const OpenRound& before, const std::vector<RoundEvent>& events) {
  AdvancedRound after{.round = before, .events = {}, .first_event = before.next_event, .ended = false};
  for (const RoundEvent& event : events) {
    for (const RoundEffect& effect : after.round.machine.Apply(event)) {
      after.ended = after.ended || std::holds_alternative<RoundEnded>(effect);
    }
    after.events.push_back(EncodeRoundEvent(event));
  }
  after.round.next_event += static_cast<uint32_t>(events.size());
  return after;
}

RoundRecord SummaryOf(const OpenRound& round, std::optional<TimePoint> ended) {
  const RoundMachine& machine = round.machine;
  RoundRecord record = round.record;
  if (machine.phase() == RoundPhase::kDone) record.state = "done";
  if (machine.phase() == RoundPhase::kAborted) record.state = "aborted";
  record.reason = machine.end_reason();
  record.made_version = machine.made_version();
  record.invited = machine.invited();
  record.counted = machine.counted();
  record.declined = machine.declined();
  record.total_weight = machine.total_weight();
  record.mean_delta_norm = machine.mean_delta_norm();
  record.ended = ended;
  record.deadline = machine.options().deadline;
  return record;
}

absl::Status WriteRound(const AdvancedRound& advanced, TimePoint now, FleetTransaction& transaction) {
  const std::string& id = advanced.round.record.id;
  uint32_t sequence = advanced.first_event;
  for (const Bytes& event : advanced.events) {
    RETURN_IF_ERROR(transaction.AppendRoundEvent(id, sequence++, event));
  }
  if (!advanced.ended) return absl::OkStatus();
  RETURN_IF_ERROR(transaction.PutRound(SummaryOf(advanced.round, now)));
  RETURN_IF_ERROR(transaction.DeleteUploads(id));
  return transaction.DeleteSum(id);
}

AuditNote EndNote(const OpenRound& round) {
  const RoundMachine& machine = round.machine;
  const bool done = machine.phase() == RoundPhase::kDone;
  return {.actor = "coordinator",
          .action = "round.end",
          .detail = round.record.id + (done ? " made version " + std::to_string(machine.made_version()) + " from " +
                                                  std::to_string(machine.counted()) + " updates"
                                            : ": " + machine.end_reason())};
}

}  // namespace

absl::Status Fleet::State::Advance(const std::vector<RoundStep>& steps, std::vector<AuditNote> notes,
                                   TransactionBody also) {
  std::vector<AdvancedRound> advanced;
  for (const RoundStep& step : steps) {
    const auto before = memory.rounds.find(step.round);
    CHECK(before != memory.rounds.end());
    advanced.push_back(AdvancedBy(before->second, step.events));
    if (advanced.back().ended) notes.push_back(EndNote(advanced.back().round));
  }
  const TimePoint now = Now();
  RETURN_IF_ERROR(Write(notes, [&](FleetTransaction& transaction) -> absl::Status {
    RETURN_IF_ERROR(also(transaction));
    for (const AdvancedRound& round : advanced) {
      if (round.ended) RETURN_IF_ERROR(WriteCellsOfEndedRound(round.round.record.id, transaction));
      RETURN_IF_ERROR(WriteRound(round, now, transaction));
    }
    return absl::OkStatus();
  }));
  for (AdvancedRound& after : advanced) {
    const std::string id = after.round.record.id;
    if (after.ended) {
      memory.rounds.erase(id);
      ForgetCells(id);
      if (control.has_value() && control->round == id) control.reset();
    } else {
      memory.rounds[id] = std::move(after.round);
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<RoundView> Fleet::StartRound(const std::string& admin, const std::string& task_name) {
  RETURN_IF_ERROR(state_->Refresh());
  ASSIGN_OR_RETURN(FleetTask* const task, state_->FindTask(task_name));
  if (task->record.paused) return absl::FailedPreconditionError("task \"" + task_name + "\" is paused");
  if (const OpenRound* open = state_->OpenRoundOf(task_name)) {
    return absl::FailedPreconditionError("round " + open->record.id + " of this task is still open");
  }
  RETURN_IF_ERROR(state_->CheckBudget(*task));
  TaskRecord record = task->record;
  ++record.rounds_started;
  const TimePoint now = state_->Now();
  const RoundOpened opened{.options = {.places = task->spec.invited_devices,
                                       .needed = task->spec.needed_updates,
                                       .fewest_together = task->spec.fewest_together(),
                                       .deadline = now + task->spec.round_deadline},
                           .from_version = record.head_version,
                           .time = now};
  OpenRound round;
  round.record = {.id = task_name + "-" + std::to_string(record.rounds_started),
                  .task = task_name,
                  .number = record.rounds_started,
                  .state = "collecting",
                  .reason = {},
                  .from_version = record.head_version,
                  .needed = opened.options.needed,
                  .started = now,
                  .ended = {},
                  .deadline = opened.options.deadline};
  (void)round.machine.Apply(opened);
  const Bytes event = EncodeRoundEvent(opened);
  RETURN_IF_ERROR(state_->Write({{AdminActor(admin), "round.start", round.record.id}},
                                [&](FleetTransaction& transaction) -> absl::Status {
                                  RETURN_IF_ERROR(transaction.PutTask(record));
                                  RETURN_IF_ERROR(transaction.PutRound(round.record));
                                  return transaction.AppendRoundEvent(round.record.id, round.next_event, event);
                                }));
  ++round.next_event;
  task->record = record;
  const RoundView view = state_->View(round);
  state_->memory.rounds.emplace(round.record.id, std::move(round));
  return view;
}

absl::StatusOr<RoundView> Fleet::AbortRound(const std::string& admin, const std::string& id,
                                            const std::string& reason) {
  RETURN_IF_ERROR(state_->Refresh());
  if (!IsPlainText(reason, kMaxRoundReasonBytes)) {
    return absl::InvalidArgumentError("reason: expected at most " + std::to_string(kMaxRoundReasonBytes) +
                                      " bytes of text");
  }
  if (!state_->memory.rounds.contains(id)) {
    RETURN_IF_ERROR(state_->FindRound(id).status());
    return absl::FailedPreconditionError("round " + id + " is over");
  }
  RETURN_IF_ERROR(state_->Advance({{.round = id, .events = {RoundAborted{.by = AdminActor(admin), .reason = reason}}}},
                                  {{AdminActor(admin), "round.abort", id + ": " + reason}},
                                  [](FleetTransaction&) { return absl::OkStatus(); }));
  return Round(id);
}

// Rounds that have what they need say until when they wait for the rest. Not while devices sit in a cell: their sum is
// on its way.
absl::Status Fleet::State::LimitWaiting() {
  std::vector<RoundStep> steps;
  for (const auto& [id, round] : memory.rounds) {
    const auto busy = [&round_id = id](const auto& cell) {
      return cell.second.record.round == round_id && cell.second.session.advertised() > 0;
    };
    if (!round.machine.MayEndEarlier() || std::ranges::any_of(memory.cells, busy)) continue;
    const TimePoint deadline = Now() + memory.tasks.at(round.record.task).spec.round_linger;
    if (deadline >= round.machine.options().deadline) continue;
    steps.push_back({.round = id, .events = {EnoughCounted{deadline}}});
  }
  if (steps.empty()) return absl::OkStatus();
  return Advance(steps, {}, [](FleetTransaction&) { return absl::OkStatus(); });
}

absl::Status Fleet::Tick() {
  RETURN_IF_ERROR(state_->Refresh());
  absl::Status first_error = state_->LimitWaiting();
  RETURN_IF_ERROR(state_->Refresh());
  std::vector<std::string> due;
  const TimePoint now = state_->Now();
  for (const auto& [id, round] : state_->memory.rounds) {
    const RoundMachine& machine = round.machine;
    if (machine.phase() == RoundPhase::kClosing || now >= machine.options().deadline) due.push_back(id);
  }
  std::vector<std::pair<std::string, std::string>> cells;  // with their rounds
  for (const auto& [id, cell] : state_->memory.cells) cells.emplace_back(id, cell.record.round);
  for (const auto& [id, round] : cells) {
    absl::Status status = state_->Refresh();
    if (status.ok()) status = state_->PumpCell(id);
    first_error.Update(status);
    // Perhaps it was about to open its sum: its round ends at the next Tick.
    if (absl::IsUnavailable(status)) std::erase(due, round);
  }
  for (const std::string& id : due) {
    absl::Status status = state_->Refresh();
    const auto round = state_->memory.rounds.find(id);
    if (round == state_->memory.rounds.end()) continue;
    if (status.ok() && round->second.machine.phase() == RoundPhase::kCollecting) {
      status = state_->Advance({{.round = id, .events = {DeadlinePassed{now}}}}, {},
                               [](FleetTransaction&) { return absl::OkStatus(); });
    }
    if (status.ok()) status = state_->FinishClosing(id);
    first_error.Update(status);
  }
  first_error.Update(state_->WriteRoundBytes());
  return first_error;
}

}  // namespace fleetune
