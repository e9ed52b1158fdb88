// Phase 3 on the coordinator (profile M): what the survivors sign.

#include <algorithm>

#include "aggregation/secagg/server_state.h"
#include "aggregation/secagg/view.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

Bytes ServerSession::State::ViewMessage() const { return EncodeView(survivors, session); }

ServerSession::State::MaybeUnverified ServerSession::State::ReadViewSignature(const VerifiedPeer& peer,
                                                                              std::span<const uint8_t> message) const {
  ASSIGN_OR_RETURN(const Signature signature, ParseViewSignature(message, session));
  if (const auto seat = SeatOf(roster, peer.device);
      seat.has_value() && participants[*seat].view_signature == signature) {
    return UnverifiedMessage();
  }
  ASSIGN_OR_RETURN(const uint32_t seat, SeatIn(ServerPhase::kView, peer.device, "view signature"));
  if (!participants[seat].committed) {
    return absl::FailedPreconditionError("view signature: this device is not among the survivors");
  }
  return UnverifiedMessage{
      .event = SessionEvent{
          .kind = SessionEvent::Kind::kViewSigned, .seat = seat, .body = Bytes(message.begin(), message.end())},
      .claim = SignatureClaim{.key = peer.identity,
                              .purpose = SignPurpose::kSecAggView,
                              .message = Bytes(view_hash.bytes.begin(), view_hash.bytes.end()),
                              .signature = signature}};
}

void ServerSession::State::ApplyViewSigned(const SessionEvent& event) {
  Participant& participant = participants[event.seat];
  const absl::StatusOr<Signature> signature = ParseViewSignature(event.body, session);
  if (signature.ok() && participant.committed && !participant.view_signature.has_value()) {
    participant.view_signature = *signature;
    ++view_signed;
  }
}

}  // namespace fleetune::secagg
