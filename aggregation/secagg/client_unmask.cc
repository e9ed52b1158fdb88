// Phase 4 on the device: of each neighbour one share, never both.

#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/client_state.h"
#include "aggregation/secagg/unmask.h"
#include "aggregation/secagg/view.h"
#include "base/crypto/signature_batch.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

// Profile M: enough neighbours saw the view that this device signed.
absl::Status CheckVouching(const UnmaskRequest& request, const Digest& view_hash,
                           const std::vector<Neighbour>& neighbours, uint32_t needed) {
  std::vector<SignatureClaim> claims;
  for (uint32_t i = 0; i < neighbours.size(); ++i) {
    if (!request.vouching.Has(i)) continue;
    if (!request.alive.Has(i)) {
      return absl::InvalidArgumentError("unmask request: a neighbour vouches that is not alive");
    }
    claims.push_back({.key = neighbours[i].identity,
                      .purpose = SignPurpose::kSecAggView,
                      .message = Bytes(view_hash.bytes.begin(), view_hash.bytes.end()),
                      .signature = request.signatures[claims.size()]});
  }
  if (claims.size() < needed) {
    return absl::FailedPreconditionError(fmt::format(
        "unmask request: expected at least {} neighbours that vouch for the view, got {}", needed, claims.size()));
  }
  for (const absl::Status& verified : VerifyEach(claims)) RETURN_IF_ERROR(verified);
  return absl::OkStatus();
}

// Profile M: each neighbour whose seed this device is to help open masked its input with this device. One that did not
// was told another A1 than this device: a coordinator that lies shows the ones a cell without the others.
absl::Status CheckInclusions(const UnmaskRequest& request, const Digest& session,
                             const std::vector<Neighbour>& neighbours) {
  std::vector<SignatureClaim> claims;
  std::vector<bool> names_this_device;
  for (uint32_t i = 0; i < neighbours.size(); ++i) {
    if (!request.alive.Has(i)) continue;
    const Neighbour& alive = neighbours[i];
    const Inclusion& inclusion = request.inclusions[claims.size()];
    const Digest included = InclusionHash(session, alive.device, inclusion.neighbours);
    claims.push_back({.key = alive.identity,
                      .purpose = SignPurpose::kSecAggIncluded,
                      .message = Bytes(included.bytes.begin(), included.bytes.end()),
                      .signature = inclusion.signature});
    names_this_device.push_back(inclusion.neighbours.Has(alive.place));
  }
  const std::vector<absl::Status> verified = VerifyEach(claims);
  for (size_t i = 0; i < verified.size(); ++i) {
    RETURN_IF_ERROR(verified[i]);
    if (!names_this_device[i]) {
      return absl::FailedPreconditionError(
          "unmask request: a neighbour that is called alive did not mask its input with this device");
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<Bytes> ClientSession::OnUnmaskRequest(std::span<const uint8_t> message) {
  ASSIGN_OR_RETURN(std::optional<Bytes> before, AnsweredBefore(state_->unmask, message));
  if (before.has_value()) return *std::move(before);
  const bool malicious = state_->config.profile == Profile::kMalicious;
  if (state_->phase != (malicious ? ClientPhase::kViewSigned : ClientPhase::kMasked)) return WrongPhase("unmask");
  const auto neighbours = static_cast<uint32_t>(state_->neighbours.size());
  ASSIGN_OR_RETURN(const UnmaskRequest request,
                   ParseUnmaskRequest(message, state_->session, state_->cohort, neighbours));
  RETURN_IF_ERROR(state_->CheckSurvivors(request.survivors));
  if (request.alive != state_->NeighboursIn(request.survivors, true) ||
      request.dropped != state_->NeighboursIn(request.survivors, false)) {
    return absl::InvalidArgumentError("unmask request: alive and dropped neighbours do not follow from the view");
  }
  const Digest view_hash = ViewHash(state_->session, request.survivors);
  if (malicious) {
    if (view_hash != state_->view_hash) {
      return absl::FailedPreconditionError("unmask request: another view than the one that this device signed");
    }
    RETURN_IF_ERROR(CheckVouching(request, view_hash, state_->neighbours, state_->threshold - state_->Holders(0)));
    RETURN_IF_ERROR(CheckInclusions(request, state_->session, state_->neighbours));
  }

  UnmaskMessage answer{.given = Bitmap(state_->Holders(request.alive.Count() + request.dropped.Count())), .shares = {}};
  uint32_t asked = 0;
  for (uint32_t i = 0; i < neighbours; ++i) {
    if (!request.alive.Has(i) && !request.dropped.Has(i)) continue;
    if (const std::optional<SharePair>& pair = state_->opened[i]; pair.has_value()) {
      answer.given.Add(asked);
      answer.shares.push_back(request.alive.Has(i) ? pair->seed : pair->mask_key);
    }
    ++asked;
  }
  if (state_->complete) {
    answer.given.Add(asked);
    answer.shares.push_back(state_->own_share);
  }
  answer.signature =
      state_->identity.key->Sign(SignPurpose::kSecAggUnmask, SignedPart(answer, state_->session, view_hash));
  state_->unmask = Answered(message, EncodeUnmask(answer, state_->session, view_hash));
  state_->phase = ClientPhase::kUnmasked;
  state_->ForgetSecrets();
  return state_->unmask->answer;
}

}  // namespace fleetune::secagg
