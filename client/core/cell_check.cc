#include "client/core/cell_check.h"

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "aggregation/encode/encoding_options.h"
#include "base/hex.h"
#include "base/status_macros.h"
#include "lora/plan/update_options.h"

namespace fleetune {
namespace {

using secagg::Profile;

template <typename T>
absl::Status Same(std::string_view field, const T& expected, const T& got) {
  if (expected == got) return absl::OkStatus();
  return absl::FailedPreconditionError(fmt::format("{}: the plan says {}, the cell {}", field, expected, got));
}

Profile ProfileOf(const TrainingPlan& plan) {
  return plan.secure.mode == SecureMode::kMalicious ? Profile::kMalicious : Profile::kHonestButCurious;
}

std::string_view NameOf(Profile profile) { return profile == Profile::kMalicious ? "malicious" : "semi-honest"; }

}  // namespace

absl::Status CheckPlan(const PrivacyPolicy& policy, const TrainingPlan& plan) {
  if (plan.secure.mode == SecureMode::kOff) {
    const secagg::SessionPolicy& floor = policy.session;
    if (!policy.refuse_unmasked && !floor.malicious_profile_only && floor.min_noise_multiplier == 0) {
      return absl::OkStatus();
    }
    return absl::FailedPreconditionError(
        "this device's policy: expected secure aggregation, the task sends updates without masks");
  }
  secagg::SessionConfig config;  // of it CheckPolicy looks at what the plan fixes
  config.profile = ProfileOf(plan);
  config.min_cohort = plan.secure.min_cohort;
  config.min_survivors = plan.secure.min_survivors;
  config.adversarial = plan.secure.adversarial;
  config.dropout = plan.secure.dropout;
  config.noise_multiplier = plan.privacy.noise_multiplier;
  return secagg::CheckPolicy(policy.session, config);
}

absl::Status CheckCellConfig(const CellExpectation& expected, const secagg::SessionConfig& config) {
  const TrainingPlan& plan = expected.plan;
  ASSIGN_OR_RETURN(const EncodingOptions options, UpdateOptions(plan, expected.parameters, expected.order.round));
  RETURN_IF_ERROR(Same("task", plan.task, config.task));
  RETURN_IF_ERROR(Same("round", expected.order.round, config.round));
  RETURN_IF_ERROR(Same("base model", plan.base.ToHex(), config.base.ToHex()));
  RETURN_IF_ERROR(Same("adapter", expected.order.version_hash.ToHex(), config.adapter.ToHex()));
  RETURN_IF_ERROR(Same("profile", NameOf(ProfileOf(plan)), NameOf(config.profile)));
  ASSIGN_OR_RETURN(const uint64_t elements, UpdateElements(plan, expected.parameters));
  RETURN_IF_ERROR(Same("dimension", elements, config.dimension));
  RETURN_IF_ERROR(Same("lane bits", BitsOf(options.lane), uint32_t{config.lane_bits}));
  RETURN_IF_ERROR(Same("clip norm", options.clip_norm, config.clip_norm));
  RETURN_IF_ERROR(Same("scale", StepsPerUnit(options), config.scale));
  RETURN_IF_ERROR(Same("rotation seed", ToHex(*options.rotation), ToHex(config.rotation_seed)));
  RETURN_IF_ERROR(Same("noise multiplier", plan.privacy.noise_multiplier, config.noise_multiplier));
  RETURN_IF_ERROR(Same("delta of the noise", plan.privacy.on() ? plan.privacy.delta : 0.0, config.noise_delta));
  RETURN_IF_ERROR(Same("least cohort", plan.secure.min_cohort, config.min_cohort));
  RETURN_IF_ERROR(Same("least inputs", plan.secure.min_survivors, config.min_survivors));
  RETURN_IF_ERROR(Same("adversarial share", plan.secure.adversarial, config.adversarial));
  RETURN_IF_ERROR(Same("dropout share", plan.secure.dropout, config.dropout));
  if (config.max_cohort > plan.encoding.max_inputs) {
    return absl::FailedPreconditionError(fmt::format("seats: the plan's encoding holds sums of at most {}, the cell {}",
                                                     plan.encoding.max_inputs, config.max_cohort));
  }
  return absl::OkStatus();
}

}  // namespace fleetune
