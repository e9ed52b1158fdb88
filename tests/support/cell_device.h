#pragma once

#include <optional>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/transcript.h"
#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "coordinator/core/fleet.h"
#include "tests/support/small_fleet.h"

namespace fleetune {

// A device in a cell, over the calls of Fleet alone: the smallest honest one, which keeps what it must.
class CellDevice {
 public:
  explicit CellDevice(SmallFleet& small, SigningKey key = SigningKey::Generate()) : small_(small), key_(std::move(key)) {
    const Enrollment enrollment = small.AddDeviceWithKey(key_.verify_key());
    id_ = enrollment.device_id;
    certificate_ = CertificateDer(enrollment.certificate).value();
  }

  const std::string& id() const { return id_; }
  const std::string& cell() const { return cell_; }
  bool seated() const { return session_.has_value(); }

  // One more step towards having `update` (packed lanes of 32 bits, not masked) in the sum of `round`: at most one call
  // of the coordinator. True once the coordinator says that it is counted. A failed cell makes the device look for
  // another.
  absl::StatusOr<bool> Step(Fleet& fleet, const std::string& round, const RingVector& update, RandomSource& random) {
    if (!session_.has_value()) {
      RETURN_IF_ERROR(TakeSeat(fleet, round, random));
      return false;
    }
    if (session_->phase() == secagg::ClientPhase::kReady) masked_ = session_->Mask(update).value();
    if (masked_.has_value()) return Upload(fleet);
    const secagg::VerifiedPeer peer{.device = id_, .identity = key_.verify_key()};
    ASSIGN_OR_RETURN(const CellAnswer answer, fleet.ExchangeCell(peer, cell_, outgoing_));
    outgoing_.clear();  // it was heard
    if (answer.kind == CellAnswer::Kind::kOver) {
      session_.reset();
      return answer.counted;
    }
    if (answer.kind == CellAnswer::Kind::kMessage) RETURN_IF_ERROR(Hear(answer.message, random));
    return false;
  }

  // As after kill -9: only what was kept is there.
  void Restart() {
    if (!session_.has_value()) return;
    session_ = secagg::ClientSession::Load(Identity(), {}, saved_).value();
    outgoing_ = saved_outgoing_;
  }

 private:
  secagg::ClientIdentity Identity() const {
    return {.device = id_, .certificate = certificate_, .key = &key_, .aes_instructions = true};
  }
  absl::StatusOr<secagg::VerifiedPeer> Verify(std::span<const uint8_t> certificate) const {
    ASSIGN_OR_RETURN(const PeerIdentity peer, SmallFleet::Certificates().Verify(certificate, small_.clock.now));
    return secagg::VerifiedPeer{.device = peer.name, .identity = *peer.identity_key};
  }
  void Keep() {
    saved_ = session_->Save();
    saved_outgoing_ = outgoing_;
  }

  absl::Status TakeSeat(Fleet& fleet, const std::string& round, RandomSource& random) {
    ASSIGN_OR_RETURN(const SeatOffer offer, fleet.TakeSeat(id_, round));
    ASSIGN_OR_RETURN(secagg::ClientSession session, secagg::ClientSession::Join(Identity(), offer.config, {}, random));
    session_ = std::move(session);
    cell_ = offer.cell;
    outgoing_ = session_->advertisement();
    masked_.reset();
    Keep();
    return absl::OkStatus();
  }

  absl::Status Hear(const Bytes& message, RandomSource& random) {
    ASSIGN_OR_RETURN(const secagg::MessageKind kind, secagg::PeekKind(message));
    switch (kind) {
      case secagg::MessageKind::kRoster: {
        const auto verify = [this](std::span<const uint8_t> certificate) { return Verify(certificate); };
        ASSIGN_OR_RETURN(outgoing_, session_->OnRoster(message, verify, random));
        break;
      }
      case secagg::MessageKind::kShares:
        RETURN_IF_ERROR(session_->OnShares(message));
        break;
      case secagg::MessageKind::kView: {
        ASSIGN_OR_RETURN(outgoing_, session_->OnView(message));
        break;
      }
      case secagg::MessageKind::kUnmaskRequest: {
        ASSIGN_OR_RETURN(outgoing_, session_->OnUnmaskRequest(message));
        break;
      }
      default:
        return absl::InvalidArgumentError("an unexpected message");
    }
    Keep();
    return absl::OkStatus();
  }

  // All in one step: uploads have tests of their own.
  absl::StatusOr<bool> Upload(Fleet& fleet) {
    Keep();
    const Bytes& bytes = *masked_;
    const Digest sha256 = Sha256(bytes);
    const absl::StatusOr<UploadState> opened = fleet.OpenUpload(id_, cell_, bytes.size(), sha256);
    if (absl::IsFailedPrecondition(opened.status())) {  // too late for this cell: it will say so
      masked_.reset();
      return false;
    }
    RETURN_IF_ERROR(opened.status());
    for (const uint32_t index : opened->missing_chunks) {
      RETURN_IF_ERROR(fleet.PutUploadChunk(id_, cell_, index, SmallFleet::ChunkOf(bytes, index)));
    }
    if (!opened->committed) RETURN_IF_ERROR(fleet.CommitUpload(id_, cell_, sha256));
    masked_.reset();
    return false;
  }

  SmallFleet& small_;
  SigningKey key_;
  std::string id_;
  Bytes certificate_;  // DER
  std::string cell_;
  std::optional<secagg::ClientSession> session_;
  Bytes outgoing_;
  std::optional<Bytes> masked_;
  Bytes saved_;
  Bytes saved_outgoing_;
};

}  // namespace fleetune
