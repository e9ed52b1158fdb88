// What a SimDevice does with what its cell says, and what somebody else might say.

#include <utility>

#include "aggregation/secagg/transcript.h"
#include "base/status_macros.h"
#include "tests/sim/sim_device.h"

namespace fleetune {

using secagg::MessageKind;
using std::chrono::milliseconds;
using std::chrono::seconds;

void SimDevice::Hear(const CellAnswer& answer, const Bytes& said, bool late) {
  if (answer.kind == CellAnswer::Kind::kMessage) {
    if (now_.outgoing == said && !late) now_.outgoing.clear();  // it was heard
    // Of a call that was given up, or of another cell, perhaps: the session must see for itself.
    if (session_.has_value() && !now_.given_up) Take(answer.message);
    if (up_ && !late) Later(milliseconds(500));
    return;
  }
  if (late) return;
  if (answer.kind == CellAnswer::Kind::kOver) {
    LeaveSeat();
    if (answer.counted) LeaveRound();
    return Later(seconds(5));
  }
  if (now_.outgoing == said) now_.outgoing.clear();
  Later(answer.ask_again_in * 2);
}

void SimDevice::Take(const Bytes& message) {
  const absl::StatusOr<MessageKind> kind = secagg::PeekKind(message);
  if (!kind.ok()) return;
  const absl::StatusOr<Bytes> answer = Answer(message);
  if (!answer.ok()) return;
  if (simulator_.Chance(faults_.device_dies)) return Die();  // before it is kept, and so before it is sent
  if (*kind == MessageKind::kShares) {
    now_.masked = *answer;
    upload_ = Upload::kOpen;
  } else {
    around_.books.Answers(now_.cell, id_, message, *answer);
    now_.outgoing = *answer;
  }
  Keep();
  if (*kind == MessageKind::kShares) kept_masked_ = kept_;
  if (*kind == MessageKind::kRoster) seen_.roster = message;
  if (*kind == MessageKind::kView) seen_.view = message;
  if (*kind != MessageKind::kUnmaskRequest) return;
  seen_.unmask_request = message;
  if (!simulator_.Chance(faults_.lied_to)) return;
  simulator_.Within(seconds(30), [this, cell = now_.cell] {
    if (up_ && now_.cell == cell && session_.has_value()) HearLies();
  });
}

absl::StatusOr<Bytes> SimDevice::Answer(const Bytes& message) {
  switch (secagg::PeekKind(message).value()) {
    case MessageKind::kRoster:
      return session_->OnRoster(message, VerifySimCertificate, random_);
    case MessageKind::kShares:
      return MaskInput(message);
    case MessageKind::kView:
      return session_->OnView(message);
    case MessageKind::kUnmaskRequest:
      return session_->OnUnmaskRequest(message);
    default:
      return absl::InvalidArgumentError("a message that only devices send");
  }
}

absl::StatusOr<Bytes> SimDevice::MaskInput(const Bytes& shares) {
  RETURN_IF_ERROR(session_->OnShares(shares));
  ASSIGN_OR_RETURN(Bytes masked, session_->Mask(now_.input));
  around_.books.Masks(now_.cell, id_, now_.input);
  if (around_.planted == Planted::kWrongSign && number_ == 0 && !seen_.roster.empty()) {
    masked = WithWrongSign(session_->Save(), seen_.roster, masked);
  }
  return masked;
}

void SimDevice::HearLies() {
  for (const Bytes& lie : LiesAbout(*session_, id_, seen_)) {
    const absl::StatusOr<Bytes> answer = Answer(lie);
    if (answer.ok()) around_.books.Answers(now_.cell, id_, lie, *answer);
  }
}

}  // namespace fleetune
