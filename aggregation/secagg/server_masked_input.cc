// Phase 2 on the coordinator: whose inputs are in the sum, and V.

#include <algorithm>

#include "aggregation/secagg/server_state.h"
#include "aggregation/secagg/view.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

absl::StatusOr<std::optional<SessionEvent>> ServerSession::CheckInput(std::string_view device) const {
  const State& state = *state_;
  if (const auto seat = SeatOf(state.roster, device); seat.has_value() && state.participants[*seat].committed) {
    return std::nullopt;
  }
  ASSIGN_OR_RETURN(const uint32_t seat, state.SeatIn(ServerPhase::kMaskedInput, device, "masked input"));
  if (!state.active.Has(seat)) {
    return absl::FailedPreconditionError("masked input: this device shared its keys with too few others");
  }
  return SessionEvent{.kind = SessionEvent::Kind::kCommitted, .seat = seat, .body = {}};
}

bool ServerSession::State::InputsCanBeOpened() const {
  for (uint32_t seat = 0; seat < participants.size(); ++seat) {
    if (!active.Has(seat)) continue;
    const auto near = std::ranges::count_if(participants[seat].neighbours,
                                            [this](uint32_t other) { return participants[other].committed; });
    // Of a device that dropped out away from all inputs nothing is needed.
    const auto holders = near + (complete && participants[seat].committed ? 1 : 0);
    if (holders < threshold && (participants[seat].committed || near > 0)) return false;
  }
  return true;
}

void ServerSession::State::CloseInputs() {
  survivors = Bitmap(static_cast<uint32_t>(participants.size()));
  for (uint32_t seat = 0; seat < participants.size(); ++seat) {
    if (participants[seat].committed) survivors.Add(seat);
  }
  inputs_closed = true;
  released.assign(participants.size(), 0);
  for (uint32_t seat = 0; seat < participants.size(); ++seat) secrets_short += SecretNeeded(seat) ? 1 : 0;
  for (Participant& participant : participants) participant.sealed = {};  // no device asks for them any more
  view_hash = ViewHash(session, survivors);
  phase = malicious() ? ServerPhase::kView : ServerPhase::kUnmask;
}

}  // namespace fleetune::secagg
