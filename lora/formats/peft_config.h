#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

inline constexpr uint64_t kMaxPeftConfigBytes = 1u << 20;
// Of rank_pattern and of alpha_pattern each: a model of 292 layers with one for each module.
inline constexpr uint64_t kMaxPeftPatterns = 2048;

// A choice of modules by their names.
struct PeftModuleChoice {
  std::vector<std::string> names;  // whole names ("model.layers.0.self_attn.q_proj"), or their last parts ("q_proj")
  std::string pattern;             // if not empty, in place of `names`: a regular expression for whole names

  bool empty() const { return names.empty() && pattern.empty(); }
};

// What counts of a PEFT adapter_config.json. What it says of one module: peft_modules.h.
struct PeftConfig {
  uint32_t rank = 0;             // at least 1
  double alpha = 0;              // above 0, at most 1e30
  bool rank_stabilized = false;  // rsLoRA: the scale is alpha / sqrt(rank), not alpha / rank
  bool dora = false;
  PeftModuleChoice target_modules;  // not empty; the pattern "all-linear" stands for all
  PeftModuleChoice exclude_modules;
  std::vector<uint32_t> layers_to_transform;  // of target_modules.names that are no whole names; empty: all layers
  // Expressions for the ends of names with what modules have instead of `rank` and `alpha`: the first that matches.
  std::vector<std::pair<std::string, uint32_t>> rank_pattern;
  std::vector<std::pair<std::string, double>> alpha_pattern;
};

// InvalidArgument naming the key: one that is missing, malformed, asks for what we do not support (trained whole
// modules, biases of B, an initialisation that changed the base, ...), or is unknown and not empty, since to ignore it
// could change the model. ResourceExhausted over kMaxPeftConfigBytes or kMaxPeftPatterns.
absl::StatusOr<PeftConfig> ParsePeftConfig(std::string_view json);

// The file for an adapter of one rank and alpha over these modules: writes `rank`, `alpha`, `dora` and the names of
// target_modules and exclude_modules; the rest must be as in PeftConfig{}; checked.
std::string FormatPeftConfig(const PeftConfig& config, std::string_view base_name);

}  // namespace fleetune
