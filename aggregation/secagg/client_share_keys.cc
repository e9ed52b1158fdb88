// Phase 1 on the device: is the roster one that it may join, and sealed shares for its neighbours.

#include <algorithm>
#include <utility>

#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/client_state.h"
#include "aggregation/secagg/roster.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

// A neighbour by its line and entry, if the signature that is appended to `claims` is good.
absl::StatusOr<Neighbour> ReadNeighbour(const RosterLine& line, uint32_t seat, std::span<const uint8_t> entry,
                                        const Digest& config_hash, PeerVerifier verify,
                                        std::vector<SignatureClaim>& claims) {
  if (EntryHash(entry) != line.entry) {
    return absl::InvalidArgumentError(fmt::format("roster: the entry of seat {} does not hash to its line", seat));
  }
  ASSIGN_OR_RETURN(const Advertisement advertisement, ParseAdvertisement(entry, config_hash));
  if (advertisement.device != line.device) {
    return absl::InvalidArgumentError(fmt::format("roster: the entry of seat {} is another device's", seat));
  }
  ASSIGN_OR_RETURN(ClaimedAdvertisement shown, ClaimAdvertisement(advertisement, config_hash, verify));
  claims.push_back(std::move(shown.claim));
  return Neighbour{.seat = seat,
                   .device = advertisement.device,
                   .channel_key = advertisement.channel_key,
                   .mask_key = advertisement.mask_key,
                   .aes_instructions = advertisement.aes_instructions,
                   .identity = shown.peer.identity};
}

// The neighbours that follow from sid, and no others.
absl::StatusOr<std::vector<Neighbour>> CheckNeighbours(const RosterMessage& message, const std::vector<uint32_t>& seats,
                                                       const Digest& config_hash, PeerVerifier verify) {
  if (message.neighbours.size() != seats.size()) {
    return absl::InvalidArgumentError(
        fmt::format("roster: expected {} neighbours, got {}", seats.size(), message.neighbours.size()));
  }
  std::vector<Neighbour> neighbours;
  std::vector<SignatureClaim> claims;
  for (size_t i = 0; i < seats.size(); ++i) {
    ASSIGN_OR_RETURN(Neighbour neighbour, ReadNeighbour(message.roster[seats[i]], seats[i], message.neighbours[i],
                                                        config_hash, verify, claims));
    neighbours.push_back(std::move(neighbour));
  }
  for (const absl::Status& verified : VerifyEach(claims)) RETURN_IF_ERROR(verified);
  return neighbours;
}

}  // namespace

absl::StatusOr<Bytes> ClientSession::OnRoster(std::span<const uint8_t> message, PeerVerifier verify,
                                              RandomSource& random) {
  ASSIGN_OR_RETURN(std::optional<Bytes> before, AnsweredBefore(state_->roster, message));
  if (before.has_value()) return *std::move(before);
  ASSIGN_OR_RETURN(const RosterMessage parsed, ParseRosterMessage(message, state_->config_hash));
  const std::optional<uint32_t> seat = SeatOf(parsed.roster, state_->identity.device);
  if (!seat.has_value() || parsed.roster[*seat].entry != EntryHash(state_->advertisement)) {
    return absl::FailedPreconditionError("roster: this device's own entry is not in it");
  }
  ASSIGN_OR_RETURN(const Topology topology, MakeTopology(state_->config, state_->config_hash, parsed.roster));
  const auto cohort = static_cast<uint32_t>(parsed.roster.size());
  RETURN_IF_ERROR(CheckPolicy(state_->policy, cohort, topology.parameters));
  const std::vector<uint32_t> seats = topology.graph.NeighboursOf(*seat);
  ASSIGN_OR_RETURN(std::vector<Neighbour> neighbours, CheckNeighbours(parsed, seats, state_->config_hash, verify));

  for (Neighbour& neighbour : neighbours) {
    const std::vector<uint32_t> theirs = topology.graph.NeighboursOf(neighbour.seat);
    neighbour.place = static_cast<uint32_t>(std::ranges::lower_bound(theirs, *seat) - theirs.begin());
  }

  std::vector<uint32_t> holders = seats;
  if (topology.parameters.complete) holders.push_back(*seat);
  ASSIGN_OR_RETURN(const std::vector<Share> seed_shares,
                   SplitSecret(state_->seed, topology.parameters.threshold, holders, random));
  ASSIGN_OR_RETURN(const std::vector<Share> key_shares,
                   SplitSecret(state_->mask_key.secret(), topology.parameters.threshold, holders, random));
  ShareKeysMessage answer{.sealed = {}, .seed_hash = SeedHash(topology.session, state_->identity.device, state_->seed)};
  for (size_t i = 0; i < neighbours.size(); ++i) {
    const ShareRoute route{.session = topology.session,
                           .from = state_->identity.device,
                           .to = neighbours[i].device,
                           .from_key = state_->channel_key.public_key(),
                           .to_key = neighbours[i].channel_key,
                           .from_seat = *seat,
                           .to_seat = neighbours[i].seat};
    ASSIGN_OR_RETURN(const SealedPair sealed,
                     SealShares({.seed = seed_shares[i], .mask_key = key_shares[i]}, route, state_->channel_key));
    answer.sealed.push_back(sealed);
  }
  answer.signature = state_->identity.key->Sign(SignPurpose::kSecAggShareKeys, SignedPart(answer, topology.session));

  state_->session = topology.session;
  state_->cohort = cohort;
  state_->seat = *seat;
  state_->threshold = topology.parameters.threshold;
  state_->complete = topology.parameters.complete;
  if (state_->complete) state_->own_share = seed_shares.back();
  state_->neighbours = std::move(neighbours);
  state_->shared = Bitmap(static_cast<uint32_t>(seats.size()));
  state_->opened.resize(seats.size());
  state_->roster = Answered(message, EncodeShareKeys(answer, topology.session));
  state_->phase = ClientPhase::kShared;
  return state_->roster->answer;
}

}  // namespace fleetune::secagg
