#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace fleetune {

inline constexpr uint64_t kMaxPeftConfigBytes = 1u << 20;

// What counts of a PEFT adapter_config.json.
struct PeftConfig {
  uint32_t rank = 0;
  float alpha = 0;  // for the scale alpha / rank; of rsLoRA already multiplied by sqrt(rank)
  // The last part of each name ("q_proj"); empty if the file has a pattern instead of a list.
  std::vector<std::string> target_modules;
};

// InvalidArgument naming the key: one that is missing, malformed, asks for what we do not support (DoRA, ranks
// per module, trained biases, ...), or is unknown and not empty, since to ignore it could change the model.
// ResourceExhausted over kMaxPeftConfigBytes.
absl::StatusOr<PeftConfig> ParsePeftConfig(std::string_view json);

// The file for an adapter over these modules.
std::string FormatPeftConfig(const PeftConfig& config, std::string_view base_name);

}  // namespace fleetune
