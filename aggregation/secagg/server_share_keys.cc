// Phase 1 on the coordinator: sealed shares, which it hands on and cannot open.

#include <algorithm>
#include <utility>

#include "aggregation/secagg/server_state.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {

ServerSession::State::MaybeUnverified ServerSession::State::ReadShareKeys(const VerifiedPeer& peer,
                                                                          std::span<const uint8_t> message) const {
  if (const auto seat = SeatOf(roster, peer.device);
      seat.has_value() && std::ranges::equal(participants[*seat].shared_bytes, message)) {
    return UnverifiedMessage();
  }
  ASSIGN_OR_RETURN(const uint32_t seat, SeatIn(ServerPhase::kShareKeys, peer.device, "shares"));
  const Participant& participant = participants[seat];
  if (participant.shared()) return absl::FailedPreconditionError("shares: this device sent others before");
  // The connection says whose it is; its signature is for when something is wrong (Unsigned).
  RETURN_IF_ERROR(ParseShareKeys(message, session, static_cast<uint32_t>(participant.neighbours.size())).status());
  return UnverifiedMessage{
      .event = SessionEvent{
          .kind = SessionEvent::Kind::kShared, .seat = seat, .body = Bytes(message.begin(), message.end())},
      .claim = {}};
}

void ServerSession::State::ApplyShared(SessionEvent event) {
  Participant& participant = participants[event.seat];
  const absl::StatusOr<ShareKeysMessage> parsed =
      ParseShareKeys(event.body, session, static_cast<uint32_t>(participant.neighbours.size()));
  if (!parsed.ok() || participant.shared()) return;
  participant.shared_bytes = std::move(event.body);
  participant.seed_hash = parsed->seed_hash;
  ++shared;
}

// Who shared, without those of whose neighbours too few did: they will not go on, and their own secrets could not be
// rebuilt. Taking one out may leave another with too few.
Bitmap ServerSession::State::ActiveAfterSharing() const {
  std::vector<bool> in(participants.size());
  for (uint32_t seat = 0; seat < participants.size(); ++seat) in[seat] = participants[seat].shared();
  for (bool changed = true; changed;) {
    changed = false;
    for (uint32_t seat = 0; seat < participants.size(); ++seat) {
      const auto near =
          std::ranges::count_if(participants[seat].neighbours, [&in](uint32_t other) { return in[other]; });
      if (!in[seat] || near + (complete ? 1 : 0) >= threshold) continue;
      in[seat] = false;
      changed = true;
    }
  }
  Bitmap result(static_cast<uint32_t>(participants.size()));
  for (uint32_t seat = 0; seat < participants.size(); ++seat) {
    if (in[seat]) result.Add(seat);
  }
  return result;
}

uint32_t ServerSession::State::PositionOf(const Participant& of, uint32_t neighbour) const {
  const auto found = std::ranges::lower_bound(of.neighbours, neighbour);
  CHECK(found != of.neighbours.end() && *found == neighbour);
  return static_cast<uint32_t>(found - of.neighbours.begin());
}

Bytes ServerSession::State::SharesFor(const Participant& participant) const {
  const uint32_t seat = *SeatOf(roster, participant.device);
  SharesMessage message{.shared = ToldTo(participant), .sealed = {}};
  message.sealed.reserve(participant.neighbours.size());
  for (uint32_t i = 0; i < participant.neighbours.size(); ++i) {
    if (!message.shared.Has(i)) continue;
    const Participant& from = participants[participant.neighbours[i]];
    message.sealed.push_back(SealedIn(from.shared_bytes, PositionOf(from, seat)));
  }
  return EncodeShares(message, session);
}

}  // namespace fleetune::secagg
