#include "client/core/cell_check.h"

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "aggregation/encode/encoding_options.h"
#include "client/core/agent_fixture.h"
#include "gtest/gtest.h"
#include "lora/plan/update_options.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using agent_fixture::DigestOf;
using secagg::Profile;
using secagg::SessionConfig;

constexpr auto kRefused = absl::StatusCode::kFailedPrecondition;
constexpr uint64_t kParameters = 20;

RoundOrder Order() { return {.round = "t-1", .task = "t", .version = 4, .version_hash = DigestOf(4), .deadline = {}}; }

SessionConfig Agreed(const TrainingPlan& plan) {
  const EncodingOptions options = UpdateOptions(plan, kParameters, "t-1").value();
  SessionConfig config;
  config.task = "t";
  config.round = "t-1";
  config.base = plan.base;
  config.adapter = DigestOf(4);
  config.profile = plan.secure.mode == SecureMode::kMalicious ? Profile::kMalicious : Profile::kHonestButCurious;
  config.dimension = RingLength(options);
  config.lane_bits = 16;
  config.clip_norm = options.clip_norm;
  config.scale = StepsPerUnit(options);
  config.rotation_seed = *options.rotation;
  config.max_cohort = 8;
  config.noise_multiplier = plan.privacy.noise_multiplier;
  config.noise_delta = plan.privacy.on() ? plan.privacy.delta : 0;
  return config;
}

absl::Status Check(const TrainingPlan& plan, const SessionConfig& config) {
  return CheckCellConfig({.order = Order(), .plan = plan, .parameters = kParameters}, config);
}

TEST(CellCheckTest, WhatThePlanSaysIsTaken) {
  for (const SecureMode mode : {SecureMode::kSemiHonest, SecureMode::kMalicious}) {
    TrainingPlan plan = agent_fixture::MaskedPlanOf("t");
    plan.secure.mode = mode;
    EXPECT_THAT(Check(plan, Agreed(plan)), IsOk());
  }
}

TEST(CellCheckTest, EachDifferenceIsRefusedByName) {
  const TrainingPlan plan = agent_fixture::MaskedPlanOf("t");
  const std::vector<std::pair<std::string, std::function<void(SessionConfig&)>>> changes = {
      {"task: the plan says t, the cell u", [](SessionConfig& c) { c.task = "u"; }},
      {"round: the plan says t-1, the cell t-2", [](SessionConfig& c) { c.round = "t-2"; }},
      {"base model", [](SessionConfig& c) { c.base.bytes[0] ^= 1; }},
      {"adapter", [](SessionConfig& c) { c.adapter.bytes[31] ^= 1; }},
      {"profile: the plan says semi-honest, the cell malicious",
       [](SessionConfig& c) { c.profile = Profile::kMalicious; }},
      {"dimension: the plan says 24, the cell 25", [](SessionConfig& c) { ++c.dimension; }},
      {"lane bits: the plan says 16, the cell 32", [](SessionConfig& c) { c.lane_bits = 32; }},
      {"clip norm", [](SessionConfig& c) { c.clip_norm *= 2; }},
      {"scale", [](SessionConfig& c) { c.scale *= 2; }},
      {"rotation seed", [](SessionConfig& c) { c.rotation_seed[5] ^= 1; }},
      {"noise multiplier: the plan says 0, the cell 1", [](SessionConfig& c) { c.noise_multiplier = 1; }},
      {"least cohort: the plan says 3, the cell 4", [](SessionConfig& c) { c.min_cohort = 4; }},
      {"least inputs", [](SessionConfig& c) { c.min_survivors = 2; }},
      {"adversarial share", [](SessionConfig& c) { c.adversarial = 0; }},
      {"dropout share", [](SessionConfig& c) { c.dropout = 0.3; }},
      {"seats: the plan's encoding holds sums of at most 8, the cell 9", [](SessionConfig& c) { c.max_cohort = 9; }},
  };
  for (const auto& [words, change] : changes) {
    SessionConfig config = Agreed(plan);
    change(config);
    EXPECT_THAT(Check(plan, config), HasStatus(kRefused, words));
  }
}

TEST(CellCheckTest, NoiseIsThatOfThePlan) {
  TrainingPlan plan = agent_fixture::MaskedPlanOf("t");
  plan.privacy.noise_multiplier = 2;
  EXPECT_THAT(Check(plan, Agreed(plan)), IsOk());
  for (const auto& [words, change] : std::vector<std::pair<std::string, std::function<void(SessionConfig&)>>>{
           {"noise multiplier: the plan says 2, the cell 1.5", [](SessionConfig& c) { c.noise_multiplier = 1.5; }},
           {"noise multiplier: the plan says 2, the cell 0",
            [](SessionConfig& c) { c.noise_multiplier = c.noise_delta = 0; }},
           {"delta of the noise", [](SessionConfig& c) { c.noise_delta = 1e-3; }},
           {"scale", [](SessionConfig& c) { c.scale *= 1.5; }}}) {
    SessionConfig config = Agreed(plan);
    change(config);
    EXPECT_THAT(Check(plan, config), HasStatus(kRefused, words));
  }
}

TEST(CellCheckTest, TheOwnersNoiseFloorHolds) {
  TrainingPlan plan = agent_fixture::MaskedPlanOf("t");
  PrivacyPolicy policy;
  policy.session.min_noise_multiplier = 1;
  EXPECT_THAT(CheckPlan(policy, plan), HasStatus(kRefused, "noise multiplier: expected at least 1, got 0"));
  plan.privacy.noise_multiplier = 0.9;
  EXPECT_THAT(CheckPlan(policy, plan), HasStatus(kRefused, "noise multiplier: expected at least 1, got 0.9"));
  plan.privacy.noise_multiplier = 1;
  EXPECT_THAT(CheckPlan(policy, plan), IsOk());
  EXPECT_THAT(CheckPlan(policy, agent_fixture::PlanOf("t")), HasStatus(kRefused, "without masks"));
}

TEST(CellCheckTest, ThePolicyIsHeldAgainstThePlan) {
  TrainingPlan plan = agent_fixture::MaskedPlanOf("t");
  EXPECT_THAT(CheckPlan({}, plan), IsOk());
  PrivacyPolicy policy;
  policy.session.min_cohort = 4;
  EXPECT_THAT(CheckPlan(policy, plan), HasStatus(kRefused, "cohort: expected at least 4, got 3"));
  plan.secure.min_cohort = 4;
  EXPECT_THAT(CheckPlan(policy, plan), IsOk());
  policy.session.max_corruption = 0.1;
  EXPECT_THAT(CheckPlan(policy, plan), HasStatus(kRefused, "adversarial + dropout"));
  policy = {};
  policy.session.malicious_profile_only = true;
  EXPECT_THAT(CheckPlan(policy, plan), HasStatus(kRefused, "malicious coordinator"));
  plan.secure.mode = SecureMode::kMalicious;
  EXPECT_THAT(CheckPlan(policy, plan), IsOk());
}

TEST(CellCheckTest, TasksWithoutMasksAreTakenUnlessTheOwnerRefuses) {
  const TrainingPlan plan = agent_fixture::PlanOf("t");
  EXPECT_THAT(CheckPlan({}, plan), IsOk());
  EXPECT_THAT(CheckPlan({.session = {}, .refuse_unmasked = true, .limit = {}}, plan), HasStatus(kRefused, "without masks"));
  PrivacyPolicy malicious;
  malicious.session.malicious_profile_only = true;
  EXPECT_THAT(CheckPlan(malicious, plan), HasStatus(kRefused, "without masks"));
}

}  // namespace
}  // namespace fleetune
