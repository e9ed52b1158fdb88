#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "aggregation/privacy/privacy_ledger.h"
#include "aggregation/secagg/session_config.h"
#include "aggregation/secagg/session_policy.h"
#include "client/core/device_state.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What a device's owner asks of secure aggregation, whatever the coordinator wants.
struct PrivacyPolicy {
  secagg::SessionPolicy session;  // below it the device sits in no cell
  bool refuse_unmasked = false;   // declines tasks that do without masks; so do malicious_profile_only and a noise floor
  PrivacyLimit limit;             // of what tasks with noise may spend together
};

// Whether a task may be worked on at all. FailedPrecondition naming what was expected and what came.
absl::Status CheckPlan(const PrivacyPolicy& policy, const TrainingPlan& plan);

// What a cell's config must agree with.
struct CellExpectation {
  const RoundOrder& order;
  const TrainingPlan& plan;
  uint64_t parameters = 0;  // values in the delta
};

// Whether a cell is the one that the signed plan speaks of: else a coordinator could say one thing in the plan that the
// owner reads, and do another. FailedPrecondition naming the first field that differs, with both values.
absl::Status CheckCellConfig(const CellExpectation& expected, const secagg::SessionConfig& config);

}  // namespace fleetune
