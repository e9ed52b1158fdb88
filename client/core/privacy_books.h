#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/privacy/privacy_ledger.h"
#include "base/clock.h"
#include "base/digest.h"
#include "client/core/ports.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What this device has spent of its privacy, and its two limits: the owner's over all tasks, and each task's own. A
// cell is charged before its masked update leaves, to both. What it costs follows from the signed plan, never from a
// figure that the coordinator computed.
//
// Reads the store at each call, so a crash between two calls loses nothing. Not thread-safe.
class PrivacyBooks {
 public:
  // Borrows store and clock. Requires a valid limit; checked.
  PrivacyBooks(ChargeStore* store, const Clock* clock, const PrivacyLimit& limit);

  // OK if one more cell of this plan, which trains `parameters` values, is within both limits, and for plans without
  // noise, which are not accounted for. ResourceExhausted, in words for people, if not; InvalidArgument if the plan's
  // noise makes no sense (PlanNoise); Unavailable: the store.
  absl::Status CanAfford(const TrainingPlan& plan, uint64_t parameters) const;

  // Charges the cell of this session (its sid), durably when it returns OK. The same session again costs nothing.
  // Errors as CanAfford; then nothing is charged.
  absl::Status Charge(const TrainingPlan& plan, uint64_t parameters, const Digest& session);

 private:
  absl::StatusOr<PrivacyCharge> Affordable(const TrainingPlan& plan, uint64_t parameters, const Digest& session) const;

  ChargeStore* store_;
  const Clock* clock_;
  PrivacyLimit limit_;
};

// What `charges` come to at `limit`; of one task, or of all if `task` is empty.
absl::StatusOr<PrivacySpent> SpentOn(const PrivacyLimit& limit, std::vector<PrivacyCharge> charges,
                                     const std::string& task = "");

}  // namespace fleetune
