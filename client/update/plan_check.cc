#include "client/update/plan_check.h"

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/status_macros.h"

namespace fleetune {

absl::StatusOr<KnownTask> VerifyOffer(const SignedOffer& offer, const VerifyKey& release_key) {
  if (absl::Status status = release_key.Verify(SignPurpose::kTrainingPlan, AsBytes(offer.plan), offer.plan_signature);
      !status.ok()) {
    return absl::UnauthenticatedError("training plan: expected a signature of the release key that this device was "
                                      "enrolled with, got another");
  }
  ASSIGN_OR_RETURN(TrainingPlan plan, ParseTrainingPlan(offer.plan));
  return KnownTask{.plan = std::move(plan),
                   .plan_text = offer.plan,
                   .released_version = offer.released_version,
                   .released_hash = offer.released_hash,
                   .model_bytes = offer.model_bytes};
}

}  // namespace fleetune
