#include "aggregation/secagg/session_policy.h"

#include <functional>

#include "aggregation/secagg/session_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

// A floor that the config is exactly at.
SessionPolicy ExactPolicy() {
  return {.min_cohort = 20,
          .min_survivors = 10,
          .min_threshold = 8,
          .min_adversarial = 0.125,
          .max_corruption = 0.375,
          .malicious_profile_only = true,
          .min_noise_multiplier = 1.5};
}
SessionConfig ExactConfig() {
  SessionConfig config = TestConfig(30, Profile::kMalicious);
  config.min_cohort = 20;
  config.min_survivors = 10;
  config.adversarial = 0.125;
  config.dropout = 0.25;
  config.noise_multiplier = 1.5;
  config.noise_delta = 1e-6;
  return config;
}

TEST(SessionPolicyTest, AtTheFloor) { EXPECT_THAT(CheckPolicy(ExactPolicy(), ExactConfig()), IsOk()); }

TEST(SessionPolicyTest, BelowTheFloorInOneThing) {
  struct Below {
    const char* named;
    std::function<void(SessionConfig&)> change;
  };
  const Below all[] = {
      {"malicious coordinator", [](SessionConfig& c) { c.profile = Profile::kHonestButCurious; }},
      {"cohort", [](SessionConfig& c) { c.min_cohort = 19; }},
      {"inputs in a sum", [](SessionConfig& c) { c.min_survivors = 9; }},
      {"adversarial devices", [](SessionConfig& c) { c.adversarial = 0.124; }},
      {"adversarial + dropout", [](SessionConfig& c) { c.dropout = 0.251; }},
      {"noise multiplier", [](SessionConfig& c) { c.noise_multiplier = 1.49; }},
  };
  for (const Below& below : all) {
    SessionConfig config = ExactConfig();
    below.change(config);
    EXPECT_THAT(CheckPolicy(ExactPolicy(), config), HasStatus(absl::StatusCode::kFailedPrecondition, below.named));
  }
}

TEST(SessionPolicyTest, OneWithoutWishesTakesTheSmallestSession) {
  SessionConfig config = TestConfig(3);
  config.adversarial = config.dropout = 0;
  EXPECT_THAT(CheckPolicy(SessionPolicy{}, config), IsOk());
}

TEST(SessionPolicyTest, CohortAndThresholdOfTheRoster) {
  const GraphParameters enough{.neighbours = 19, .threshold = 8, .complete = true};
  EXPECT_THAT(CheckPolicy(ExactPolicy(), 20, enough), IsOk());
  EXPECT_THAT(CheckPolicy(ExactPolicy(), 19, enough), HasStatus(absl::StatusCode::kFailedPrecondition, "cohort"));
  const GraphParameters low{.neighbours = 19, .threshold = 7, .complete = true};
  EXPECT_THAT(CheckPolicy(ExactPolicy(), 20, low), HasStatus(absl::StatusCode::kFailedPrecondition, "threshold"));
}

}  // namespace
}  // namespace fleetune::secagg
