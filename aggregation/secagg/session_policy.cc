#include "aggregation/secagg/session_policy.h"

#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

template <typename T>
absl::Status Below(const char* what, T floor, T got) {
  return absl::FailedPreconditionError(
      fmt::format("this device's policy: {}: expected at least {}, got {}", what, floor, got));
}

}  // namespace

absl::Status CheckPolicy(const SessionPolicy& policy, const SessionConfig& config) {
  if (policy.malicious_profile_only && config.profile != Profile::kMalicious) {
    return absl::FailedPreconditionError("this device's policy: expected the profile against a malicious coordinator");
  }
  if (config.min_cohort < policy.min_cohort) return Below("cohort", policy.min_cohort, config.min_cohort);
  if (config.min_survivors < policy.min_survivors) {
    return Below("inputs in a sum", policy.min_survivors, config.min_survivors);
  }
  if (config.adversarial < policy.min_adversarial) {
    return Below("share of adversarial devices allowed for", policy.min_adversarial, config.adversarial);
  }
  if (config.noise_multiplier < policy.min_noise_multiplier) {
    return Below("noise multiplier", policy.min_noise_multiplier, config.noise_multiplier);
  }
  if (config.adversarial + config.dropout > policy.max_corruption) {
    return absl::FailedPreconditionError(
        fmt::format("this device's policy: adversarial + dropout: expected at most {}, got {}", policy.max_corruption,
                    config.adversarial + config.dropout));
  }
  return absl::OkStatus();
}

absl::Status CheckPolicy(const SessionPolicy& policy, uint32_t cohort, const GraphParameters& parameters) {
  if (cohort < policy.min_cohort) return Below("cohort", policy.min_cohort, cohort);
  if (parameters.threshold < policy.min_threshold) {
    return Below("threshold", policy.min_threshold, parameters.threshold);
  }
  return absl::OkStatus();
}

}  // namespace fleetune::secagg
