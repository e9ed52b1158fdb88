#pragma once

// Builders for the tests of the agent: each gives a valid object, a test changes what it is about.

#include <string>

#include "client/core/agent.h"
#include "client/core/check_in.h"

namespace fleetune {
namespace agent_fixture {

inline Digest DigestOf(uint8_t byte) {
  Digest digest;
  digest.bytes.fill(byte);
  return digest;
}

inline TrainingPlan PlanOf(const std::string& task) {
  TrainingPlan plan;
  plan.task = task;
  plan.base = DigestOf(0xba);
  plan.targets = {Projection::kQ, Projection::kV};
  plan.rank = 4;
  plan.alpha = 8;
  plan.train.sequence_length = 64;
  plan.secure.mode = SecureMode::kOff;
  return plan;
}

inline TrainingPlan MaskedPlanOf(const std::string& task) {
  TrainingPlan plan = PlanOf(task);
  plan.secure.mode = SecureMode::kSemiHonest;
  return plan;
}

inline TrainingPlan ControlledPlanOf(const std::string& task) {
  TrainingPlan plan = PlanOf(task);
  plan.train.control_variates = true;
  plan.encoding.lane_bits = 24;
  return plan;
}

inline ModelFootprint SmallModel() {
  ModelFootprint model{.file_bytes = 1'000'000, .sizes = {}, .vocabulary = 512, .heads = 8, .context = 512};
  model.sizes.layers = 5;
  model.sizes.projections.fill({.in = 64, .out = 64});
  return model;
}

inline KnownTask TaskOf(const TrainingPlan& plan, uint32_t version) {
  return {.plan = plan,
          .plan_text = FormatTrainingPlan(plan),
          .released_version = version,
          .released_hash = DigestOf(static_cast<uint8_t>(version)),
          .model_bytes = 1'000'000};
}

inline KnownTask TaskAt(const std::string& task, uint32_t version) { return TaskOf(PlanOf(task), version); }

inline RoundCall CallTo(const std::string& round, uint32_t version) {
  return {.round = round,
          .task = "t",
          .version = version,
          .version_hash = DigestOf(static_cast<uint8_t>(version)),
          .time_left = std::chrono::minutes(30)};
}

inline DeviceConditions GoodConditions() { return {.reason = "", .memory_bytes = 1'000'000'000}; }

}  // namespace agent_fixture
}  // namespace fleetune
