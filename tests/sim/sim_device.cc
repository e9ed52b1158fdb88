// A device's calls and its life; what its session does with answers stands in sim_device_session.cc.

#include "tests/sim/sim_device.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "aggregation/encode/lanes.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "tests/support/small_fleet.h"

namespace fleetune {
namespace {

using secagg::ClientSession;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kCallTimeout{5};

// Any ring vector that an update encoder may give.
RingVector SomeInput(const EncodingOptions& options, SplitMix64& random) {
  const auto steps = static_cast<uint64_t>(MaxSteps(options));
  const auto unit = static_cast<uint64_t>(ShareUnit(options));
  RingVector ring;
  for (uint64_t i = 0; i < RingLength(options); ++i) {
    const bool is_share = i >= options.values;
    const uint64_t value = is_share ? unit - random.Below(unit / 2 + 1) : random.Below(2 * steps + 1) - steps;
    ring.push_back(static_cast<uint32_t>(value) & LaneMask(options.lane));
  }
  return ring;
}

bool IsNoMore(const absl::Status& status) { return absl::IsFailedPrecondition(status) || absl::IsNotFound(status); }

}  // namespace

absl::StatusOr<secagg::VerifiedPeer> VerifySimCertificate(std::span<const uint8_t> certificate) {
  if (certificate.size() <= 32) return absl::UnauthenticatedError("no certificate");
  ASSIGN_OR_RETURN(const VerifyKey key, VerifyKey::FromRaw(certificate.first<32>()));
  return secagg::VerifiedPeer{.device = std::string(AsText(certificate.subspan(32))), .identity = key};
}

SimDevice::SimDevice(SimSurroundings& around, size_t number, std::string id, SigningKey key)
    : around_(around),
      simulator_(around.simulator),
      faults_(around.shape.faults),
      number_(number),
      id_(std::move(id)),
      key_(std::move(key)),
      verify_key_(key_.verify_key()),
      random_(around.shape.seed ^ (number + 1) * 0x9e3779b97f4a7c15u) {}

secagg::ClientIdentity SimDevice::Identity() const {
  ByteWriter certificate;
  certificate.WriteBytes(verify_key_.raw());
  certificate.WriteBytes(AsBytes(id_));
  // One in eight has no AES instructions.
  return {.device = id_, .certificate = certificate.Take(), .key = &key_, .aes_instructions = number_ % 8 != 7};
}

void SimDevice::Begin() { Later(seconds(10)); }

void SimDevice::Later(milliseconds most) {
  simulator_.Within(most, [this, life = life_] {
    if (life == life_) Act();
  });
}

void SimDevice::Act() {
  if (!up_ || waiting_for_ != 0) return;
  if (simulator_.Chance(faults_.device_dies)) return Die();
  if (simulator_.Chance(faults_.cut_off)) around_.network.CutOff(number_, seconds(1 + random_.Below(60)));
  if (now_.round.empty()) return CheckIn();
  if (simulator_.Chance(faults_.declines)) return Decline();
  if (now_.cell.empty()) return TakeSeat();
  if (now_.masked.has_value() && upload_ != Upload::kDone) {
    if (upload_ == Upload::kOpen) return OpenUpload();
    return upload_ == Upload::kPut ? PutUpload() : CommitUpload();
  }
  Exchange();
}

// One call at a time. After the timeout the device acts again; the answer may still come.
void SimDevice::Call(const Request& request) {
  const uint64_t call = ++calls_;
  waiting_for_ = call;
  around_.network.Send(number_, [this, call, request](Fleet& fleet) -> Heard {
    const Heard heard = request(fleet);
    return [this, call, heard](bool) {
      if (!up_) return;
      const bool late = waiting_for_ != call;
      if (!late) waiting_for_ = 0;
      heard(late);
    };
  });
  simulator_.After(kCallTimeout, [this, call] {
    if (waiting_for_ != call) return;
    waiting_for_ = 0;
    upload_ = Upload::kOpen;
    Later(seconds(3));
  });
}

void SimDevice::CheckIn() {
  Call([this](Fleet& fleet) -> Heard {
    const absl::StatusOr<CheckInAnswer> answer = fleet.CheckIn(id_, SmallFleet::ReadyReport());
    return [this, answer](bool late) {
      if (late) return;
      if (answer.ok() && answer->invitation.has_value()) {
        now_.round = answer->invitation->round;
        now_.input = SomeInput(around_.encoding(now_.round), random_);
        Keep();
        return Later(seconds(5));
      }
      Later(answer.ok() ? answer->next_check_in : seconds(5));
    };
  });
}

void SimDevice::Decline() {
  Call([this, round = now_.round](Fleet& fleet) -> Heard {
    const absl::Status status = fleet.DeclineRound(id_, round, "on battery");
    return [this, status](bool late) {
      if (late) return;
      if (status.ok() || IsNoMore(status)) LeaveRound();
      Later(seconds(5));
    };
  });
}

void SimDevice::TakeSeat() {
  Call([this, round = now_.round](Fleet& fleet) -> Heard {
    const absl::StatusOr<SeatOffer> offer = fleet.TakeSeat(id_, round);
    if (offer.ok()) around_.books.Offers(*offer);
    return [this, offer](bool late) {
      if (late) return;
      if (IsNoMore(offer.status())) LeaveRound();
      if (!offer.ok()) return Later(seconds(5));
      session_ = ClientSession::Join(Identity(), offer->config, {}, random_).value();
      now_.cell = offer->cell;
      now_.given_up = false;
      now_.outgoing = session_->advertisement();
      now_.masked.reset();
      Keep();
      Act();
    };
  });
}

void SimDevice::OpenUpload() {
  Call([this, cell = now_.cell, size = now_.masked->size(), sha256 = Sha256(*now_.masked)](Fleet& fleet) -> Heard {
    const absl::StatusOr<UploadState> state = fleet.OpenUpload(id_, cell, size, sha256);
    return [this, state](bool late) {
      if (late) return;
      if (state.ok()) upload_ = state->committed ? Upload::kDone : Upload::kPut;
      if (IsNoMore(state.status())) upload_ = Upload::kDone;  // too late for this cell: it will say so
      if (state.ok()) return Act();
      Later(seconds(3));
    };
  });
}

void SimDevice::PutUpload() {
  around_.books.Sends(id_, *now_.masked);
  Call([this, cell = now_.cell, bytes = *now_.masked](Fleet& fleet) -> Heard {
    const absl::Status status = fleet.PutUploadChunk(id_, cell, 0, bytes);
    return [this, status](bool late) {
      if (late) return;
      upload_ = status.ok() ? Upload::kCommit : Upload::kOpen;
      Later(seconds(1));
    };
  });
}

void SimDevice::CommitUpload() {
  Call([this, cell = now_.cell, sha256 = Sha256(*now_.masked)](Fleet& fleet) -> Heard {
    const absl::Status status = fleet.CommitUpload(id_, cell, sha256);
    return [this, status](bool late) {
      if (late) return;
      upload_ = status.ok() ? Upload::kDone : Upload::kOpen;
      Later(seconds(1));
    };
  });
}

void SimDevice::Exchange() {
  const Bytes message = now_.given_up ? Bytes() : now_.outgoing;
  around_.books.Sends(id_, message);
  Call([this, cell = now_.cell, round = now_.round, message](Fleet& fleet) -> Heard {
    const absl::StatusOr<CellAnswer> answer = fleet.ExchangeCell(Peer(), cell, message);
    if (answer.ok()) around_.books.Says(cell, id_, *answer);
    return [this, cell, round, message, answer](bool late) {
      if (answer.ok() && answer->counted) around_.books.IsTold(round, id_);
      if (answer.ok()) return Hear(*answer, message, late);
      if (late) return;
      if (IsNoMore(answer.status())) {  // told twice, it has no seat there
        if (now_.given_up || now_.outgoing.empty()) LeaveSeat();
        now_.given_up = true;
      }
      Later(seconds(3));
    };
  });
}

void SimDevice::LeaveSeat() {
  session_.reset();
  now_.cell.clear();
  now_.given_up = false;
  now_.session.clear();
  now_.outgoing.clear();
  now_.masked.reset();
  seen_ = {};
  Keep();
}

void SimDevice::LeaveRound() {
  LeaveSeat();
  now_.round.clear();
  Keep();
}

void SimDevice::Keep() {
  if (session_.has_value()) now_.session = session_->Save();
  kept_ = now_;
}

void SimDevice::Die() {
  ++deaths_;
  ++life_;
  up_ = false;
  waiting_for_ = 0;
  session_.reset();
  gone_ = simulator_.Chance(faults_.never_back);
  if (gone_) return;
  simulator_.Within(seconds(40), [this] { Restart(); });
}

void SimDevice::Restart() {
  up_ = true;
  upload_ = Upload::kOpen;
  if (simulator_.Chance(faults_.forgets)) kept_ = {};
  if (around_.planted == Planted::kOlderSave && !kept_.cell.empty() && kept_masked_.cell == kept_.cell) {
    kept_ = kept_masked_;
  }
  now_ = kept_;
  if (!now_.cell.empty() && !now_.given_up && !now_.session.empty()) {
    session_ = ClientSession::Load(Identity(), {}, now_.session).value();
    if (!seen_.unmask_request.empty() && simulator_.Chance(faults_.lied_to)) HearLies();
  }
  Act();
}

}  // namespace fleetune
