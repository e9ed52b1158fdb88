#include "lora/formats/peft_config.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/status_macros.h"

namespace fleetune {
namespace {

using nlohmann::ordered_json;

// Read below.
constexpr std::array<std::string_view, 6> kUnderstood = {
    "peft_type", "r", "lora_alpha", "target_modules", "use_rslora", "bias"};

// These tell how the adapter was trained or what it is called, not what it computes.
constexpr std::array<std::string_view, 12> kHarmless = {
    "task_type",    "base_model_name_or_path", "revision",      "auto_mapping",
    "inference_mode", "lora_dropout",          "peft_version",  "megatron_core",
    "layers_pattern", "exclude_modules",       "qalora_group_size", "runtime_config"};

// Ways to begin that leave the base model as it is; others (pissa, olora, loftq ...) change it.
constexpr std::array<std::string_view, 3> kPlainInit = {"gaussian", "orthogonal", "eva"};

absl::Status KeyError(std::string_view key, const std::string& what) {
  return absl::InvalidArgumentError("adapter_config.json: " + std::string(key.substr(0, 100)) + ": " + what);
}

bool IsEmptyValue(const ordered_json& value) {
  return value.is_null() || value == false || value == "" ||
         ((value.is_array() || value.is_object()) && value.empty());
}

bool IsPlainInit(const ordered_json& value) {
  return value.is_boolean() || value.is_null() ||
         (value.is_string() &&
          std::ranges::find(kPlainInit, value.get_ref<const std::string&>()) != kPlainInit.end());
}

absl::Status CheckUnsupported(const ordered_json& config) {
  for (const auto& [key, value] : config.items()) {
    if (std::ranges::find(kUnderstood, key) != kUnderstood.end()) continue;
    if (std::ranges::find(kHarmless, key) != kHarmless.end()) continue;
    if (key == "init_lora_weights" && IsPlainInit(value)) continue;
    if (!IsEmptyValue(value)) return KeyError(key, "not supported, and to ignore it could change the model");
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> OptionalBool(const ordered_json& config, const char* key) {
  const auto at = config.find(key);
  if (at == config.end() || at->is_null()) return false;
  if (!at->is_boolean()) return KeyError(key, "expected true or false");
  return at->get<bool>();
}

absl::StatusOr<std::vector<std::string>> ReadTargets(const ordered_json& config) {
  std::vector<std::string> targets;
  const auto at = config.find("target_modules");
  if (at == config.end()) return KeyError("target_modules", "is missing");
  if (at->is_string()) return targets;  // a pattern: the tensors themselves tell
  if (!at->is_array() || at->empty()) return KeyError("target_modules", "expected a list of names");
  for (const ordered_json& name : *at) {
    if (!name.is_string()) return KeyError("target_modules", "expected a list of names");
    const auto& text = name.get_ref<const std::string&>();
    std::string last = text.substr(text.rfind('.') + 1);  // npos + 1 is 0
    if (std::ranges::find(targets, last) == targets.end()) targets.push_back(std::move(last));
  }
  return targets;
}

}  // namespace

absl::StatusOr<PeftConfig> ParsePeftConfig(std::string_view json) {
  if (json.size() > kMaxPeftConfigBytes) {
    return absl::ResourceExhaustedError("adapter_config.json has more than " +
                                        std::to_string(kMaxPeftConfigBytes) + " bytes");
  }
  const ordered_json config = ordered_json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::InvalidArgumentError("adapter_config.json: expected a JSON object");
  const auto string_or = [&](const char* key, std::string_view missing) {
    const auto at = config.find(key);
    if (at == config.end()) return std::string(missing);
    return at->is_string() ? at->get<std::string>() : std::string("?");
  };
  if (const std::string type = string_or("peft_type", "nothing"); type != "LORA") {
    return KeyError("peft_type", "expected LORA, got " + type.substr(0, 100));
  }
  if (string_or("bias", "none") != "none") return KeyError("bias", "only none is supported");
  RETURN_IF_ERROR(CheckUnsupported(config));

  PeftConfig result;
  const auto rank = config.find("r");
  if (rank == config.end() || !rank->is_number_unsigned() || rank->get<uint64_t>() < 1 ||
      rank->get<uint64_t>() > UINT32_MAX) {
    return KeyError("r", "expected a whole number above 0");
  }
  result.rank = rank->get<uint32_t>();
  const auto alpha = config.find("lora_alpha");
  if (alpha == config.end() || !alpha->is_number()) return KeyError("lora_alpha", "expected a number");
  ASSIGN_OR_RETURN(const bool rank_stabilized, OptionalBool(config, "use_rslora"));
  const double scaled = alpha->get<double>() * (rank_stabilized ? std::sqrt(result.rank) : 1.0);
  if (!(scaled > 0 && scaled <= 1e30)) return KeyError("lora_alpha", "expected a number above 0");
  result.alpha = static_cast<float>(scaled);
  ASSIGN_OR_RETURN(result.target_modules, ReadTargets(config));
  return result;
}

std::string FormatPeftConfig(const PeftConfig& config, std::string_view base_name) {
  const ordered_json json = {{"peft_type", "LORA"},
                             {"task_type", "CAUSAL_LM"},
                             {"base_model_name_or_path", base_name},
                             {"r", config.rank},
                             {"lora_alpha", static_cast<double>(config.alpha)},
                             {"lora_dropout", 0.0},
                             {"bias", "none"},
                             {"fan_in_fan_out", false},
                             {"inference_mode", true},
                             {"target_modules", config.target_modules},
                             {"use_rslora", false},
                             {"modules_to_save", nullptr}};
  // A name that is no UTF-8 must not throw.
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace fleetune
