// Cells: an update of a task with secure aggregation takes a seat, says what its session answers, hands in its masked
// form, and waits for the cell's end. A cell that leads to nothing costs a seat, not the update: the next one gets it
// under fresh masks.

#include <fmt/format.h>

#include <algorithm>

#include "client/core/agent.h"
#include "client/core/step_status.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

// Neither can a coordinator make a device spin, nor leave a cell for good.
constexpr milliseconds kLeastPause{100};
constexpr milliseconds kMostPause = std::chrono::minutes(1);
// Openings of an upload that a cell refuses although it goes on.
constexpr uint32_t kMaxRefusedUploads = 3;

}  // namespace

void Agent::On(const CellJoined& event) {
  failures_ = 0;
  if (!std::holds_alternative<TakeCellSeat>(last_step_) || !state_.pending.has_value() || Seat() != nullptr) return;
  state_.pending->seat = CellSeat{.cell = event.cell,
                                  .min_inputs = event.min_inputs,
                                  .session = event.session,
                                  .message = event.message,
                                  .masked = {}};
  cell_at_ = now_;
  ask_cell_ = false;
  refused_uploads_ = 0;
  refused_.clear();
  said_.reset();
  decision_.remarks.push_back(fmt::format("takes a seat in cell {}", event.cell));
}

void Agent::On(const CellRefused& event) {
  failures_ = 0;
  if (SeatExchangedIn() != nullptr) return LeaveCell(Words(event.status));
  if (!std::holds_alternative<TakeCellSeat>(last_step_) || !state_.pending.has_value() || Seat() != nullptr) return;
  const std::string why = fmt::format("did not join cell {}: {}", event.cell, Words(event.status));
  if (refused_ != why) decision_.notes.push_back(why);
  refused_ = why;
  EndSeat(why);
}

void Agent::On(const PrivacyIsSpent& event) {
  failures_ = 0;
  const bool seeking = std::holds_alternative<TakeCellSeat>(last_step_) && Seat() == nullptr;
  if (!state_.pending.has_value() || (!seeking && SeatExchangedIn() == nullptr)) return;
  DropAndDecline(Words(event.status), Words(event.status));
}

void Agent::On(const CellWaits& event) {
  const bool seeking = std::holds_alternative<TakeCellSeat>(last_step_) && Seat() == nullptr;
  if (!seeking && SeatExchangedIn() == nullptr) return;
  if (seeking) {
    failures_ = 0;
  } else {
    CellHeard();
  }
  cell_at_ = now_ + std::clamp(event.ask_again_in, kLeastPause, kMostPause);
}

void Agent::On(const CellAnswered& event) {
  CellSeat* seat = SeatExchangedIn();
  if (seat == nullptr || seat->given_up) return;
  CellHeard();
  seat->session = event.session;
  seat->message = event.message;
  cell_at_ = said_ == event.message ? now_ + kLeastPause : now_;
}

void Agent::On(const CellMasked& event) {
  CellSeat* seat = SeatExchangedIn();
  if (seat == nullptr || seat->given_up) return;
  CellHeard();
  if (seat->masked.has_value() && seat->masked->sha256 != event.sha256) {
    return LeaveCell("the update was masked in two ways");  // the session does not do that
  }
  seat->session = event.session;
  cell_at_ = seat->masked.has_value() ? now_ + kLeastPause : now_;
  if (!seat->masked.has_value()) seat->masked = MaskedBytes{.sha256 = event.sha256, .size = event.size};
  seat->masked->committed = false;  // it asks for the input: it has not got it
}

void Agent::On(const CellOver& event) {
  const CellSeat* seat = SeatExchangedIn();
  if (seat == nullptr) return;
  CellHeard();
  if (event.counted) return CountUpdate();
  EndSeat(fmt::format("cell {} ended without this device's update", seat->cell));
}

CellSeat* Agent::Seat() {
  return state_.pending.has_value() && state_.pending->seat.has_value() ? &*state_.pending->seat : nullptr;
}

// The seat, if the last step asked in its cell and with its session.
CellSeat* Agent::SeatExchangedIn() {
  const auto* exchange = std::get_if<ExchangeInCell>(&last_step_);
  CellSeat* seat = Seat();
  if (exchange == nullptr || seat == nullptr || seat->cell != exchange->cell) return nullptr;
  const bool same = seat->given_up ? !exchange->session.has_value() : exchange->session == seat->session;
  return same ? seat : nullptr;
}

std::optional<AgentStep> Agent::CellStep() const {
  if (now_ < cell_at_) return std::nullopt;
  const PendingUpdate& update = *state_.pending;
  if (!update.seat.has_value()) {
    return TakeCellSeat{.order = update.order,
                        .plan = *pending_plan_,
                        .parameters = update.parameters,
                        .ended_cell = update.ended_cell};
  }
  const CellSeat& seat = *update.seat;
  if (seat.masked.has_value() && !seat.masked->committed && !ask_cell_) {
    return UploadStep({.round = seat.cell, .sha256 = seat.masked->sha256, .size = seat.masked->size});
  }
  ExchangeInCell exchange{.cell = seat.cell,
                          .session = {},
                          .message = seat.message,
                          .update = update.sha256,
                          .plan = *pending_plan_,
                          .parameters = update.parameters};
  if (!seat.given_up) exchange.session = seat.session;
  return exchange;
}

// The cell has what was said to it.
void Agent::CellHeard() {
  failures_ = 0;
  ask_cell_ = false;
  said_ = Seat()->message;
  Seat()->message.reset();
}

// The session is forgotten, which reveals nothing. Until the cell ends this device may have no other seat.
void Agent::LeaveCell(const std::string& why) {
  CellSeat& seat = *Seat();
  decision_.notes.push_back(fmt::format("left cell {}: {}", seat.cell, why));
  seat.given_up = true;
  seat.session = {};
  seat.message.reset();
  seat.masked.reset();
  upload_.reset();
  ask_cell_ = false;
  cell_at_ = now_ + kLeastPause;
}

void Agent::EndSeat(const std::string& why) {
  PendingUpdate& update = *state_.pending;
  ++update.failed_cells;
  if (update.seat.has_value()) update.ended_cell = update.seat->cell;
  decision_.remarks.push_back(
      fmt::format("seat {} of {} for round {}: {}", update.failed_cells, options_.cells, update.order.round, why));
  update.seat.reset();
  upload_.reset();
  ask_cell_ = false;
  cell_at_ = now_ + BackoffDelay(update.failed_cells, options_.between_cells, *random_);
  // A coordinator that lies could have this cell's sum, call the cell failed, and ask for the same update in another
  // one without one of the devices: the difference is that device's update. So it goes into one cell only.
  if (update.sending && pending_plan_->secure.mode == SecureMode::kMalicious) {
    const std::string reason = "the cell that its masked update was sent to failed, and it may go to one only: " + why;
    return DropAndDecline(reason, reason);
  }
  if (update.failed_cells < options_.cells) return;
  const std::string reason = fmt::format("{} cells failed, the last one: {}", update.failed_cells, why);
  DropAndDecline(reason, reason);
}

// A call to the coordinator failed: for a seat, or in a cell.
void Agent::CellFailed(const absl::Status& status) {
  if (IsTransient(status)) return BackOff(status);
  if (!state_.pending.has_value()) return;
  if (Seat() == nullptr) return DropPending("the coordinator refused it: " + Words(status));
  if (SeatExchangedIn() == nullptr) return;
  if (Seat()->given_up) return EndSeat(Words(status));
  LeaveCell(Words(status));
}

// The cell tells whether it is over; only then this device may have another seat.
void Agent::CellUploadRefused(const absl::Status& status) {
  if (++refused_uploads_ >= kMaxRefusedUploads) return LeaveCell(Words(status));
  decision_.remarks.push_back(fmt::format("cell {} does not take the update: {}", Seat()->cell, Words(status)));
  ask_cell_ = true;
}

}  // namespace fleetune
