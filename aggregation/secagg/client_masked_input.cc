// Phase 2 on the device: which neighbours take part, and its input under their masks and its own.

#include <utility>

#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/client_state.h"
#include "aggregation/secagg/inclusion.h"
#include "aggregation/secagg/masks.h"
#include "aggregation/secagg/ring_lanes.h"
#include "aggregation/secagg/transcript.h"
#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {

absl::Status ClientSession::OnShares(std::span<const uint8_t> message) {
  ASSIGN_OR_RETURN(const std::optional<Bytes> before, AnsweredBefore(state_->shares, message));
  if (before.has_value()) return absl::OkStatus();
  if (state_->phase != ClientPhase::kShared) return WrongPhase("shares");
  const auto neighbours = static_cast<uint32_t>(state_->neighbours.size());
  ASSIGN_OR_RETURN(SharesMessage parsed, ParseShares(message, state_->session, neighbours));
  if (const uint32_t holders = state_->Holders(parsed.shared.Count()); holders < state_->threshold) {
    return absl::FailedPreconditionError(
        fmt::format("shares: expected at least {} holders, got {}", state_->threshold, holders));
  }
  size_t next = 0;
  for (uint32_t i = 0; i < neighbours; ++i) {
    if (!parsed.shared.Has(i)) continue;
    const Neighbour& from = state_->neighbours[i];
    const ShareRoute route{.session = state_->session,
                           .from = from.device,
                           .to = state_->identity.device,
                           .from_key = from.channel_key,
                           .to_key = state_->channel_key.public_key(),
                           .from_seat = from.seat,
                           .to_seat = state_->seat};
    absl::StatusOr<SharePair> pair = OpenShares(parsed.sealed[next++], route, state_->channel_key);
    // One that does not open costs this device's vote on that neighbour, not the session.
    if (pair.ok()) state_->opened[i] = *std::move(pair);
  }
  state_->shared = std::move(parsed.shared);
  state_->shares = Answered(message, {});
  state_->phase = ClientPhase::kReady;
  return absl::OkStatus();
}

absl::StatusOr<Bytes> ClientSession::Mask(std::span<const uint32_t> ring) {
  CHECK(ring.size() == state_->config.dimension);
  if (state_->phase < ClientPhase::kReady || state_->phase == ClientPhase::kUnmasked) return WrongPhase("masks");
  const Digest input = LabelledHash(
      "input", {state_->session.bytes, {reinterpret_cast<const uint8_t*>(ring.data()), ring.size_bytes()}});
  if (state_->input.has_value() && *state_->input != input) {
    return absl::FailedPreconditionError("another input was masked already");
  }
  std::vector<MaskTerm> terms;
  const bool aes = state_->identity.aes_instructions;
  terms.push_back({.cipher = CipherFor(aes, aes), .key = Secret32(state_->seed.bytes())});
  const EdgeEnd here{state_->identity.device, state_->mask_key.public_key()};
  std::vector<const Neighbour*> masked_with;
  std::vector<EdgeEnd> ends;
  for (uint32_t i = 0; i < state_->neighbours.size(); ++i) {
    if (!state_->shared.Has(i)) continue;
    masked_with.push_back(&state_->neighbours[i]);
    ends.push_back({state_->neighbours[i].device, state_->neighbours[i].mask_key});
  }
  ASSIGN_OR_RETURN(std::vector<Secret32> seeds, EdgeSeeds(state_->session, state_->mask_key, here, ends));
  for (size_t i = 0; i < seeds.size(); ++i) {
    const Neighbour& there = *masked_with[i];
    terms.push_back({.cipher = CipherFor(aes, there.aes_instructions),
                     .key = std::move(seeds[i]),
                     .subtract = Subtracts(here.device, there.device)});
  }
  RingLanes lanes = RingLanes::FromValues(state_->config.lane_bits, ring);
  lanes.Apply(terms, OneAfterTheOther);
  state_->input = input;
  if (state_->phase == ClientPhase::kReady) state_->phase = ClientPhase::kMasked;
  Bytes masked = lanes.Pack();
  if (state_->config.profile != Profile::kMalicious) return masked;
  const Digest included = InclusionHash(state_->session, state_->identity.device, state_->shared);
  ByteWriter list;
  WriteInclusion({.neighbours = state_->shared,
                  .signature = state_->identity.key->Sign(SignPurpose::kSecAggIncluded, included.bytes)},
                 list);
  masked.reserve(masked.size() + list.bytes().size());
  masked.insert(masked.end(), list.bytes().begin(), list.bytes().end());
  return masked;
}

}  // namespace fleetune::secagg
