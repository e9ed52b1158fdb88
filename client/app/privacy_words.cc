#include "client/app/privacy_words.h"

#include <fmt/format.h>

namespace fleetune {

std::string MaskWords(const SecurePlan& plan) {
  if (plan.mode == SecureMode::kOff) return "not masked: the coordinator sees each update";
  return fmt::format("masked: the coordinator learns only sums over at least {} devices, {}", plan.min_survivors,
                     plan.mode == SecureMode::kMalicious ? "even if it does not follow the protocol"
                                                         : "as long as it follows the protocol");
}

std::string NoiseWords(const PrivacyPlan& plan) {
  if (!plan.on()) return "no differential privacy: a sum may still tell of single devices";
  return fmt::format(
      "sums have noise of {:g} times the most that one device adds: differential privacy, at most epsilon {:g} for one "
      "device at delta {:g}",
      plan.noise_multiplier, plan.device_epsilon_limit, plan.delta);
}

std::string SpentWords(const PrivacySpent& spent, const PrivacyLimit& limit) {
  return fmt::format("epsilon {:.4g} of {:g} is spent in {} cells (at delta {:g})", spent.epsilon, limit.epsilon,
                     spent.cells, limit.delta);
}

std::string PolicyWords(const PrivacyPolicy& policy) {
  const secagg::SessionPolicy& session = policy.session;
  std::string words = fmt::format(
      "cells of at least {} devices, sums of at least {}, secrets that at least {} must open together, at most {:g} of "
      "the devices bad or gone",
      session.min_cohort, session.min_survivors, session.min_threshold, session.max_corruption);
  if (session.min_adversarial > 0)
    words += fmt::format(", at least {:g} of them allowed for as bad", session.min_adversarial);
  if (session.malicious_profile_only) words += ", only protocols that hold against a coordinator that lies";
  if (session.min_noise_multiplier > 0) words += fmt::format(", noise of at least {:g}", session.min_noise_multiplier);
  const bool refuses =
      policy.refuse_unmasked || session.malicious_profile_only || session.min_noise_multiplier > 0;
  return words + (refuses ? "; tasks without masks are declined" : "; tasks without masks are taken");
}

}  // namespace fleetune
