#pragma once

#include <cstdint>

#include "absl/status/status.h"
#include "aggregation/secagg/graph_parameters.h"
#include "aggregation/secagg/session_config.h"

namespace fleetune::secagg {

// A device's own floor: below it it takes part in no session, whatever the coordinator asks.
struct SessionPolicy {
  uint32_t min_cohort = kMinCohort;     // fewest devices in a roster
  uint32_t min_survivors = kMinCohort;  // fewest inputs in a sum
  uint32_t min_threshold = 2;           // fewest devices that can open a secret
  double min_adversarial = 0.0;         // the coordinator must allow for at least this share of bad devices
  double max_corruption = 0.5;          // gamma + delta: above it a session hardly protects
  bool malicious_profile_only = false;  // profile M or nothing
  double min_noise_multiplier = 0.0;    // of distributed DP
};

// FailedPrecondition naming what was expected and what came. The threshold is checked when the roster is known.
absl::Status CheckPolicy(const SessionPolicy& policy, const SessionConfig& config);
absl::Status CheckPolicy(const SessionPolicy& policy, uint32_t cohort, const GraphParameters& parameters);

}  // namespace fleetune::secagg
