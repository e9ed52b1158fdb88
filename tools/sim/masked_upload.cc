#include "tools/sim/masked_upload.h"

#include "aggregation/secagg/transcript.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

using State = UploadProgress::State;
using std::chrono::milliseconds;

constexpr milliseconds kAtOnce(1);
constexpr milliseconds kAnotherSeat(1000);

}  // namespace

secagg::ClientIdentity MaskedUpload::Identity() const {
  return {.device = device_.id, .certificate = device_.certificate, .key = device_.key, .aes_instructions = true};
}

absl::StatusOr<UploadProgress> MaskedUpload::Step() {
  if (!session_.has_value()) return TakeSeat();
  if (session_->phase() == secagg::ClientPhase::kReady && !masked_) return SendMasked();
  return Exchange();
}

absl::StatusOr<UploadProgress> MaskedUpload::TakeSeat() {
  const absl::StatusOr<SeatOffer> offer = device_.coordinator->fleet().TakeSeat(device_.id, round_);
  if (absl::IsFailedPrecondition(offer.status())) return UploadProgress{.state = State::kGivenUp};
  RETURN_IF_ERROR(offer.status());
  RETURN_IF_ERROR(device_.coordinator->release_key().verify_key().Verify(SignPurpose::kSecAggConfig, offer->config,
                                                                         offer->signature));
  ASSIGN_OR_RETURN(secagg::ClientSession session,
                   secagg::ClientSession::Join(Identity(), offer->config, {}, *device_.random));
  session_ = std::move(session);
  cell_ = offer->cell;
  outgoing_ = session_->advertisement();
  masked_ = false;
  return UploadProgress{.again_in = kAtOnce};
}

absl::StatusOr<UploadProgress> MaskedUpload::SendMasked() {
  ASSIGN_OR_RETURN(const Bytes masked, session_->Mask(update_));
  const absl::Status sent = SendUpdate(device_.coordinator->fleet(), device_.id, cell_, masked);
  if (!sent.ok() && !absl::IsFailedPrecondition(sent)) return sent;  // too late for this cell: it will say so
  masked_ = true;
  return UploadProgress{.again_in = kAtOnce};
}

absl::StatusOr<UploadProgress> MaskedUpload::Exchange() {
  const secagg::VerifiedPeer peer{.device = device_.id, .identity = device_.key->verify_key()};
  ASSIGN_OR_RETURN(const CellAnswer answer, device_.coordinator->fleet().ExchangeCell(peer, cell_, outgoing_));
  outgoing_.clear();
  switch (answer.kind) {
    case CellAnswer::Kind::kWait: return UploadProgress{.again_in = answer.ask_again_in};
    case CellAnswer::Kind::kOver:
      session_.reset();
      if (answer.counted) return UploadProgress{.state = State::kCounted};
      return UploadProgress{.again_in = kAnotherSeat};
    case CellAnswer::Kind::kMessage: break;
  }
  RETURN_IF_ERROR(Hear(answer.message));
  return UploadProgress{.again_in = kAtOnce};
}

absl::Status MaskedUpload::Hear(const Bytes& message) {
  ASSIGN_OR_RETURN(const secagg::MessageKind kind, secagg::PeekKind(message));
  const auto verify = [this](std::span<const uint8_t> certificate) -> absl::StatusOr<secagg::VerifiedPeer> {
    const SimCoordinator& coordinator = *device_.coordinator;
    ASSIGN_OR_RETURN(const PeerIdentity peer,
                     coordinator.certificates().Verify(certificate, device_.coordinator->clock().Now()));
    return secagg::VerifiedPeer{.device = peer.name, .identity = *peer.identity_key};
  };
  switch (kind) {
    case secagg::MessageKind::kRoster: {
      ASSIGN_OR_RETURN(outgoing_, session_->OnRoster(message, verify, *device_.random));
      return absl::OkStatus();
    }
    case secagg::MessageKind::kShares: return session_->OnShares(message);
    case secagg::MessageKind::kView: {
      ASSIGN_OR_RETURN(outgoing_, session_->OnView(message));
      return absl::OkStatus();
    }
    case secagg::MessageKind::kUnmaskRequest: {
      ASSIGN_OR_RETURN(outgoing_, session_->OnUnmaskRequest(message));
      return absl::OkStatus();
    }
    default: return absl::InvalidArgumentError("the coordinator sent a message that is none of its own");
  }
}

}  // namespace fleetune
