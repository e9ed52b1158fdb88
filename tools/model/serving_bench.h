#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/runtime/generator.h"

namespace fleetune {

struct ServingBenchOptions {
  std::vector<uint32_t> streams;  // numbers of answers at once
  uint32_t prompt = 16;           // tokens of each
  uint32_t gen = 128;             // of each answer
  uint32_t repeat = 3;            // runs, of which the median counts
  std::vector<std::shared_ptr<const Adapter>> adapters;  // of stream i the one at i modulo their number; empty: none
};

// Tokens a second of answers made at the same time, from the first one's beginning to the last one's end: in one pass
// (AnswerScheduler) and side by side (Generator::Answer on a thread each), without drafts; a list of objects. Errors of
// Generator::Answer.
absl::StatusOr<nlohmann::ordered_json> MeasureServing(const std::shared_ptr<const Generator>& generator,
                                                      const ServingBenchOptions& options);

}  // namespace fleetune
