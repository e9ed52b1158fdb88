#pragma once

#include "absl/status/statusor.h"
#include "base/crypto/signature.h"
#include "client/core/check_in.h"

namespace fleetune {

// A task whose plan was signed by the release key for exactly this purpose. Unauthenticated if the signature is
// another's; errors of ParseTrainingPlan.
absl::StatusOr<KnownTask> VerifyOffer(const SignedOffer& offer, const VerifyKey& release_key);

}  // namespace fleetune
