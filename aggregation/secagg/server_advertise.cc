// Phase 0 on the coordinator: seats, and the roster.

#include <utility>

#include "aggregation/secagg/server_state.h"
#include "aggregation/secagg/transcript.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {

ServerSession::State::MaybeUnverified ServerSession::State::ReadAdvertise(const VerifiedPeer& peer,
                                                                          std::span<const uint8_t> message,
                                                                          PeerVerifier verify) const {
  const auto entry = entries.find(peer.device);
  if (phase != ServerPhase::kAdvertise) {
    const std::optional<uint32_t> seat = SeatOf(roster, peer.device);
    if (seat.has_value() && EntryHash(message) == roster[*seat].entry) return UnverifiedMessage();
    return absl::FailedPreconditionError("advertisement: the roster of the cell is closed");
  }
  if (entry != entries.end()) {
    if (std::ranges::equal(entry->second, message)) return UnverifiedMessage();
    return absl::FailedPreconditionError("advertisement: this device has a seat with other keys");
  }
  if (entries.size() >= config.max_cohort) return absl::FailedPreconditionError("advertisement: no seat is left");
  ASSIGN_OR_RETURN(const Advertisement advertisement, ParseAdvertisement(message, config_hash));
  ASSIGN_OR_RETURN(ClaimedAdvertisement shown, ClaimAdvertisement(advertisement, config_hash, verify));
  if (shown.peer.device != peer.device || shown.peer.identity.raw() != peer.identity.raw()) {
    return absl::UnauthenticatedError("advertisement: its certificate is not of the identity that is connected");
  }
  return UnverifiedMessage{
      .event = SessionEvent{.kind = SessionEvent::Kind::kAdvertised, .body = Bytes(message.begin(), message.end())},
      .claim = std::move(shown.claim)};
}

void ServerSession::State::ApplyAdvertised(SessionEvent event) {
  const absl::StatusOr<Advertisement> advertisement = ParseAdvertisement(event.body, config_hash);
  if (advertisement.ok() && entries.size() < config.max_cohort) {
    entries.try_emplace(advertisement->device, std::move(event.body));
  }
}

void ServerSession::State::CloseRoster() {
  for (const auto& [device, entry] : entries) roster.push_back({.device = device, .entry = EntryHash(entry)});
  const absl::StatusOr<Topology> topology = MakeTopology(config, config_hash, roster);
  if (!topology.ok()) {
    roster.clear();
    Fail(std::string(topology.status().message()));
    return;
  }
  session = topology->session;
  threshold = topology->parameters.threshold;
  complete = topology->parameters.complete;
  for (auto& [device, entry] : entries) {
    const Advertisement advertisement = ParseAdvertisement(entry, config_hash).value();
    const auto seat = static_cast<uint32_t>(participants.size());
    Participant& participant = participants.emplace_back();
    participant.device = device;
    participant.entry = std::move(entry);
    participant.mask_key = advertisement.mask_key;
    participant.aes_instructions = advertisement.aes_instructions;
    participant.neighbours = topology->graph.NeighboursOf(seat);
  }
  entries.clear();
  roster_message = EncodeRosterMessage({.roster = roster, .neighbours = {}}, config_hash);
  roster_message.resize(roster_message.size() - sizeof(uint32_t));  // the number of neighbours, here 0
  phase = ServerPhase::kShareKeys;
}

Bytes ServerSession::State::RosterFor(const Participant& participant) const {
  // EncodeRosterMessage's bytes, without a copy of the roster for each device. A hundred kilobytes and more: sized once.
  size_t size = roster_message.size() + sizeof(uint32_t);
  for (const uint32_t seat : participant.neighbours) size += sizeof(uint32_t) + participants[seat].entry.size();
  Bytes message;
  message.reserve(size);
  const auto append = [&message](std::span<const uint8_t> bytes) {
    message.insert(message.end(), bytes.begin(), bytes.end());
  };
  append(roster_message);
  ByteWriter count;
  count.Write(static_cast<uint32_t>(participant.neighbours.size()));
  append(count.bytes());
  for (const uint32_t seat : participant.neighbours) {
    ByteWriter length;
    length.Write(static_cast<uint32_t>(participants[seat].entry.size()));
    append(length.bytes());
    append(participants[seat].entry);
  }
  return message;
}

}  // namespace fleetune::secagg
