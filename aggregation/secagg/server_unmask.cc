// Phase 4 on the coordinator: from released shares to the masks that lie on the sum.

#include <algorithm>
#include <iterator>
#include <utility>

#include "aggregation/secagg/error_correction.h"
#include "aggregation/secagg/server_state.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

// By seat: the shares of its secret that were released.
using ReleasedShares = std::vector<std::vector<ReleasedShare>>;

}  // namespace

std::vector<uint32_t> ServerSession::State::AskedOf(const Participant& participant) const {
  std::vector<uint32_t> asked;
  asked.reserve(participant.neighbours.size() + 1);
  std::ranges::copy_if(participant.neighbours, std::back_inserter(asked), [this](uint32_t s) { return active.Has(s); });
  if (complete) asked.push_back(*SeatOf(roster, participant.device));
  return asked;
}

UnmaskRequest ServerSession::State::UnmaskRequestFor(const Participant& participant) const {
  const auto size = static_cast<uint32_t>(participant.neighbours.size());
  UnmaskRequest request{.survivors = survivors,
                        .alive = Bitmap(size),
                        .dropped = Bitmap(size),
                        .vouching = Bitmap(size),
                        .signatures = {},
                        .inclusions = {}};
  if (malicious()) {
    request.inclusions.reserve(size);
    request.signatures.reserve(size);
  }
  for (uint32_t i = 0; i < size; ++i) {
    const uint32_t seat = participant.neighbours[i];
    if (!active.Has(seat)) continue;
    (survivors.Has(seat) ? request.alive : request.dropped).Add(i);
    if (malicious() && survivors.Has(seat)) request.inclusions.push_back(participants[seat].inclusion);
    if (const std::optional<Signature>& signature = participants[seat].view_signature; signature.has_value()) {
      request.vouching.Add(i);
      request.signatures.push_back(*signature);
    }
  }
  return request;
}

ServerSession::State::MaybeUnverified ServerSession::State::ReadUnmask(const VerifiedPeer& peer,
                                                                       std::span<const uint8_t> message) const {
  if (const auto seat = SeatOf(roster, peer.device);
      seat.has_value() && std::ranges::equal(participants[*seat].unmask_bytes, message)) {
    return UnverifiedMessage();
  }
  ASSIGN_OR_RETURN(const uint32_t seat, SeatIn(ServerPhase::kUnmask, peer.device, "unmask"));
  const Participant& participant = participants[seat];
  const bool is_asked = participant.committed && (!malicious() || participant.view_signature.has_value());
  if (!is_asked || participant.unmasked()) {
    return absl::FailedPreconditionError("unmask: this device is not asked, or answered otherwise before");
  }
  const auto asked = static_cast<uint32_t>(AskedOf(participant).size());
  // As in ReadShareKeys: the signature is for when something is wrong.
  RETURN_IF_ERROR(ParseUnmask(message, session, view_hash, asked).status());
  return UnverifiedMessage{
      .event = SessionEvent{
          .kind = SessionEvent::Kind::kUnmasked, .seat = seat, .body = Bytes(message.begin(), message.end())},
      .claim = {}};
}

void ServerSession::State::ApplyUnmasked(SessionEvent event) {
  Participant& participant = participants[event.seat];
  const std::vector<uint32_t> asked = AskedOf(participant);
  absl::StatusOr<UnmaskMessage> parsed =
      ParseUnmask(event.body, session, view_hash, static_cast<uint32_t>(asked.size()));
  if (!parsed.ok() || !participant.committed || participant.unmasked()) return;
  participant.unmask_bytes = std::move(event.body);
  participant.unmask = *std::move(parsed);
  ++unmasked;
  for (uint32_t i = 0; i < asked.size(); ++i) {
    if (!participant.unmask.given.Has(i)) continue;
    if (++released[asked[i]] == threshold && SecretNeeded(asked[i])) --secrets_short;
  }
}

// A dropped device's mask key is needed only if somebody in V has a mask with it.
bool ServerSession::State::SecretNeeded(uint32_t seat) const {
  if (!active.Has(seat)) return false;
  if (participants[seat].committed) return true;
  return std::ranges::any_of(participants[seat].neighbours, [this](uint32_t s) { return participants[s].committed; });
}

bool ServerSession::AllUnmasked() const { return answered() == asked(); }

bool ServerSession::EnoughShares() const { return state_->inputs_closed && state_->secrets_short == 0; }

absl::StatusOr<TermsOfSecret> ServerSession::State::RecoverTerms(uint32_t seat,
                                                                 std::span<const ReleasedShare> given) const {
  const Participant& participant = participants[seat];
  std::vector<IndexedShare> shares;
  shares.reserve(given.size());
  for (const ReleasedShare& one : given) shares.push_back({.seat = one.seat, .share = *one.share});
  const auto accept = [&](const Secret32& secret) {
    return participant.committed ? SeedHash(session, participant.device, secret) == participant.seed_hash
                                 : X25519PublicKey(secret) == participant.mask_key;
  };
  absl::StatusOr<CorrectedSecret> recovered = RecoverSecret(shares, threshold, accept);
  if (!recovered.ok()) {
    return absl::DataLossError(fmt::format("the {} of {} cannot be rebuilt from {} shares: {}",
                                           participant.committed ? "seed" : "mask key", participant.device,
                                           shares.size(), std::string(recovered.status().message())));
  }
  TermsOfSecret result{.terms = {}, .liars = std::move(recovered->liars)};
  RETURN_IF_ERROR(AppendTerms(participant, std::move(recovered->secret), result.terms));
  return result;
}

absl::StatusOr<RecoveredMasks> ServerSession::RecoverMasks(ParallelFor parallel) const {
  const State& state = *state_;
  if (state.phase != ServerPhase::kUnmask) return absl::FailedPreconditionError("masks: the cell is not unmasking");
  ReleasedShares released(state.participants.size());
  for (uint32_t seat = 0; seat < released.size(); ++seat) {
    released[seat].reserve(state.participants[seat].neighbours.size() + (state.complete ? 1 : 0));
  }
  for (uint32_t seat = 0; seat < state.participants.size(); ++seat) {
    const Participant& participant = state.participants[seat];
    if (!participant.unmasked()) continue;
    const std::vector<uint32_t> asked = state.AskedOf(participant);
    size_t next = 0;
    for (uint32_t i = 0; i < asked.size(); ++i) {
      if (participant.unmask.given.Has(i)) {
        released[asked[i]].push_back({.seat = seat, .share = &participant.unmask.shares[next++]});
      }
    }
  }

  // Dropped devices come first: theirs is most of the work, so threads that share the seats have like parts of it.
  std::vector<uint32_t> needed;
  for (const bool committed : {false, true}) {
    for (uint32_t seat = 0; seat < state.participants.size(); ++seat) {
      if (state.participants[seat].committed == committed && state.SecretNeeded(seat)) needed.push_back(seat);
    }
  }
  std::vector<absl::StatusOr<TermsOfSecret>> recovered(needed.size());
  parallel(needed.size(), [&](size_t i) { recovered[i] = state.RecoverTerms(needed[i], released[needed[i]]); });

  RecoveredMasks masks;
  std::vector<bool> lied(state.participants.size());
  for (absl::StatusOr<TermsOfSecret>& secret : recovered) {
    if (!secret.ok()) return secret.status();
    std::ranges::move(secret->terms, std::back_inserter(masks.terms));
    for (const uint32_t liar : secret->liars) lied[liar] = true;
  }
  for (uint32_t seat = 0; seat < lied.size(); ++seat) {
    if (lied[seat]) masks.liars.push_back(state.participants[seat].device);
  }
  return masks;
}

// What takes the masks of `participant` off the sum: its own, or those that survivors have with it.
absl::Status ServerSession::State::AppendTerms(const Participant& participant, Secret32 secret,
                                               std::vector<MaskTerm>& terms) const {
  if (participant.committed) {
    const bool aes = participant.aes_instructions;
    terms.push_back({.cipher = CipherFor(aes, aes), .key = std::move(secret), .subtract = true});
    return absl::OkStatus();
  }
  const X25519Key key = X25519Key::FromSecret(std::move(secret));
  std::vector<const Participant*> survivors_near;
  std::vector<EdgeEnd> ends;
  for (const uint32_t seat : participant.neighbours) {
    if (!participants[seat].committed) continue;
    survivors_near.push_back(&participants[seat]);
    ends.push_back({participants[seat].device, participants[seat].mask_key});
  }
  const EdgeEnd dropped{participant.device, participant.mask_key};
  ASSIGN_OR_RETURN(std::vector<Secret32> seeds, EdgeSeeds(session, key, dropped, ends));
  terms.reserve(terms.size() + seeds.size());
  for (size_t i = 0; i < seeds.size(); ++i) {
    const Participant& survivor = *survivors_near[i];
    terms.push_back({.cipher = CipherFor(participant.aes_instructions, survivor.aes_instructions),
                     .key = std::move(seeds[i]),
                     .subtract = !Subtracts(survivor.device, participant.device)});
  }
  return absl::OkStatus();
}

}  // namespace fleetune::secagg
