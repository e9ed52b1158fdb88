#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// What device and coordinator tell each other at a check-in, as plain data.

// A version of a task's adapter that the device answers prompts with.
struct ServedVersion {
  std::string task;
  uint32_t version = 0;
  Digest hash;

  friend bool operator==(const ServedVersion&, const ServedVersion&) = default;
};

struct TaggedCount {
  std::string tag;
  uint64_t examples = 0;
};

// Of the device.
struct CheckInReport {
  std::string software_version;
  std::string profile;
  uint64_t memory_budget_bytes = 0;
  bool ready_to_train = false;
  std::string not_ready_reason;
  std::vector<ServedVersion> versions;
  std::vector<TaggedCount> examples;
  std::vector<Digest> models;
};

// A task as it came: the plan's signature is not checked yet.
struct SignedOffer {
  std::string plan;  // TOML
  std::array<uint8_t, 64> plan_signature{};
  uint32_t released_version = 0;
  Digest released_hash;
  uint64_t model_bytes = 0;
};

// Train against `version` of `task` and upload within the time.
struct RoundCall {
  std::string round;
  std::string task;
  uint32_t version = 0;
  Digest version_hash;
  std::chrono::milliseconds time_left{};
};

// Of the coordinator.
struct CheckInReply {
  std::chrono::milliseconds next_check_in{};
  std::vector<SignedOffer> offers;
  std::optional<RoundCall> invitation;
};

// A task whose plan bears the release key's signature.
struct KnownTask {
  TrainingPlan plan;
  std::string plan_text;  // exactly what was signed
  uint32_t released_version = 0;
  Digest released_hash;
  uint64_t model_bytes = 0;
};

}  // namespace fleetune
