// Whether devices signed what they sent: looked at when something is wrong.

#include <utility>

#include "aggregation/secagg/server_state.h"

namespace fleetune::secagg {

bool ServerSession::State::Signed(const Participant& participant, const VerifyKey& identity) const {
  const auto neighbours = static_cast<uint32_t>(participant.neighbours.size());
  if (participant.shared()) {
    const ShareKeysMessage message = ParseShareKeys(participant.shared_bytes, session, neighbours).value();
    if (!identity.Verify(SignPurpose::kSecAggShareKeys, SignedPart(message, session), message.signature).ok()) {
      return false;
    }
  }
  if (!participant.unmasked()) return true;
  const UnmaskMessage& message = participant.unmask;
  return identity.Verify(SignPurpose::kSecAggUnmask, SignedPart(message, session, view_hash), message.signature).ok();
}

std::vector<std::string> ServerSession::Unsigned(PeerVerifier verify) const {
  std::vector<std::string> devices;
  for (const Participant& participant : state_->participants) {
    if (!participant.shared()) continue;  // sent nothing that would have to be signed
    const absl::StatusOr<Advertisement> shown = ParseAdvertisement(participant.entry, state_->config_hash);
    const absl::StatusOr<VerifiedPeer> peer = verify(shown.value().certificate);
    if (!peer.ok() || !state_->Signed(participant, peer->identity)) devices.push_back(participant.device);
  }
  return devices;
}

}  // namespace fleetune::secagg
