// Phase 2 on the coordinator: whose inputs are in the sum, and V.

#include <algorithm>
#include <utility>

#include "aggregation/secagg/server_state.h"
#include "aggregation/secagg/view.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

absl::StatusOr<bool> ServerSession::InputWanted(std::string_view device) const {
  const State& state = *state_;
  if (Committed(device)) return false;
  ASSIGN_OR_RETURN(const uint32_t seat, state.SeatIn(ServerPhase::kMaskedInput, device, "masked input"));
  if (!state.active.Has(seat)) {
    return absl::FailedPreconditionError("masked input: this device shared its keys with too few others");
  }
  return true;
}

uint64_t ServerSession::packed_bytes() const { return state_->config.dimension * (state_->config.lane_bits / 8); }

uint64_t ServerSession::input_bytes() const {
  if (!state_->malicious() || state_->participants.empty()) return packed_bytes();
  return packed_bytes() + InclusionBytes(static_cast<uint32_t>(state_->participants.front().neighbours.size()));
}

ServerSession::State::MaybeUnverified ServerSession::State::ReadInclusion(uint32_t seat,
                                                                          std::span<const uint8_t> inclusion,
                                                                          PeerVerifier verify) const {
  const Participant& participant = participants[seat];
  SessionEvent event{.kind = SessionEvent::Kind::kCommitted, .seat = seat, .body = {}};
  if (!malicious()) {
    if (!inclusion.empty()) return absl::InvalidArgumentError("masked input: bytes behind its elements");
    return UnverifiedMessage{.event = std::move(event), .claim = {}};
  }
  // A list that its neighbours would refuse must not end the cell for all of them.
  ASSIGN_OR_RETURN(const Inclusion list,
                   ParseInclusion(inclusion, static_cast<uint32_t>(participant.neighbours.size())));
  if (list.neighbours != ToldTo(participant)) {
    return absl::FailedPreconditionError("masked input: not masked with the neighbours that shared");
  }
  const Advertisement shown = ParseAdvertisement(participant.entry, config_hash).value();
  ASSIGN_OR_RETURN(const VerifiedPeer peer, verify(shown.certificate));
  event.body.assign(inclusion.begin(), inclusion.end());
  const Digest included = InclusionHash(session, participant.device, list.neighbours);
  return UnverifiedMessage{.event = std::move(event),
                           .claim = SignatureClaim{.key = peer.identity,
                                                   .purpose = SignPurpose::kSecAggIncluded,
                                                   .message = Bytes(included.bytes.begin(), included.bytes.end()),
                                                   .signature = list.signature}};
}

Bitmap ServerSession::State::ToldTo(const Participant& participant) const {
  const auto size = static_cast<uint32_t>(participant.neighbours.size());
  Bitmap told(size);
  for (uint32_t i = 0; i < size; ++i) {
    if (active.Has(participant.neighbours[i])) told.Add(i);
  }
  return told;
}

void ServerSession::State::ApplyCommitted(const SessionEvent& event) {
  Participant& participant = participants[event.seat];
  if (!active.Has(event.seat) || participant.committed) return;
  if (malicious()) {
    absl::StatusOr<Inclusion> inclusion =
        ParseInclusion(event.body, static_cast<uint32_t>(participant.neighbours.size()));
    if (!inclusion.ok()) return;
    participant.inclusion = *std::move(inclusion);
  }
  participant.committed = true;
  ++committed;
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
  view_hash = ViewHash(session, survivors);
  phase = malicious() ? ServerPhase::kView : ServerPhase::kUnmask;
}

}  // namespace fleetune::secagg
