// Phase 3 on the device (profile M): one signature over one view, ever.

#include "aggregation/secagg/client_session.h"
#include "aggregation/secagg/client_state.h"
#include "aggregation/secagg/view.h"
#include "base/status_macros.h"

namespace fleetune::secagg {

absl::StatusOr<Bytes> ClientSession::OnView(std::span<const uint8_t> message) {
  ASSIGN_OR_RETURN(std::optional<Bytes> before, AnsweredBefore(state_->view, message));
  if (before.has_value()) return *std::move(before);
  if (state_->phase != ClientPhase::kMasked || state_->config.profile != Profile::kMalicious) {
    return WrongPhase("view");
  }
  ASSIGN_OR_RETURN(const Bitmap survivors, ParseView(message, state_->session, state_->cohort));
  RETURN_IF_ERROR(state_->CheckSurvivors(survivors));
  state_->view_hash = ViewHash(state_->session, survivors);
  const Signature signature = state_->identity.key->Sign(SignPurpose::kSecAggView, state_->view_hash.bytes);
  state_->view = Answered(message, EncodeViewSignature(signature, state_->session));
  state_->phase = ClientPhase::kViewSigned;
  return state_->view->answer;
}

}  // namespace fleetune::secagg
