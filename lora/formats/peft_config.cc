#include "lora/formats/peft_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

using nlohmann::ordered_json;

// Read below.
constexpr std::array<std::string_view, 12> kUnderstood = {
    "peft_type", "r",        "lora_alpha",      "target_modules",      "use_rslora",     "use_dora",
    "bias",      "rank_pattern", "alpha_pattern", "layers_to_transform", "layers_pattern", "exclude_modules"};

// These tell how the adapter was trained or what it is called, not what it computes.
constexpr std::array<std::string_view, 11> kHarmless = {
    "task_type",    "base_model_name_or_path", "revision",          "auto_mapping",   "inference_mode", "lora_dropout",
    "peft_version", "megatron_core",           "qalora_group_size", "runtime_config", "eva_config"};

// Ways to begin that leave the base model as it is; others (pissa, olora, loftq ...) change it.
constexpr std::array<std::string_view, 3> kPlainInit = {"gaussian", "orthogonal", "eva"};

// With "all" and "lora_only" biases are tensors beside the matrices, which are refused by name; the models here
// have none in most modules, so such a file may well be without.
constexpr std::array<std::string_view, 3> kBias = {"none", "all", "lora_only"};

absl::Status KeyError(std::string_view key, const std::string& what) {
  return absl::InvalidArgumentError("adapter_config.json: " + std::string(key.substr(0, 100)) + ": " + what);
}

bool IsEmptyValue(const ordered_json& value) {
  return value.is_null() || value == false || value == "" ||
         ((value.is_array() || value.is_object()) && value.empty());
}

bool IsOneOf(std::span<const std::string_view> names, const ordered_json& value) {
  return value.is_string() && std::ranges::find(names, value.get_ref<const std::string&>()) != names.end();
}

absl::Status CheckUnsupported(const ordered_json& config) {
  for (const auto& [key, value] : config.items()) {
    if (std::ranges::find(kUnderstood, key) != kUnderstood.end()) continue;
    if (std::ranges::find(kHarmless, key) != kHarmless.end()) continue;
    if (key == "init_lora_weights" && (value.is_boolean() || IsOneOf(kPlainInit, value))) continue;
    if (!IsEmptyValue(value)) return KeyError(key, "not supported, and to ignore it could change the model");
  }
  return absl::OkStatus();
}

// Null if the key is absent or empty.
const ordered_json* Find(const ordered_json& config, const char* key) {
  const auto at = config.find(key);
  return at == config.end() || IsEmptyValue(*at) ? nullptr : &*at;
}

absl::StatusOr<bool> OptionalBool(const ordered_json& config, const char* key) {
  const ordered_json* value = Find(config, key);
  if (value == nullptr) return false;
  if (!value->is_boolean()) return KeyError(key, "expected true or false");
  return value->get<bool>();
}

absl::StatusOr<uint32_t> ReadRank(const char* key, const ordered_json& value) {
  if (!value.is_number_unsigned() || value.get<uint64_t>() < 1 || value.get<uint64_t>() > UINT32_MAX) {
    return KeyError(key, "expected a whole number above 0");
  }
  return value.get<uint32_t>();
}

absl::StatusOr<double> ReadAlpha(const char* key, const ordered_json& value) {
  const double alpha = value.is_number() ? value.get<double>() : 0;
  if (!(alpha > 0 && alpha <= 1e30)) return KeyError(key, "expected a number above 0");
  return alpha;
}

absl::StatusOr<PeftModuleChoice> ReadChoice(const ordered_json& config, const char* key) {
  PeftModuleChoice choice;
  const ordered_json* value = Find(config, key);
  if (value == nullptr) return choice;
  if (value->is_string()) {
    choice.pattern = value->get<std::string>();
    return choice;
  }
  if (!value->is_array()) return KeyError(key, "expected a list of names, or a pattern");
  for (const ordered_json& name : *value) {
    if (!name.is_string()) return KeyError(key, "expected a list of names, or a pattern");
    choice.names.push_back(name.get<std::string>());
  }
  return choice;
}

// A number or a list of them. Only of `layers`, as all models here call the list of theirs.
absl::StatusOr<std::vector<uint32_t>> ReadLayers(const ordered_json& config) {
  constexpr const char* kKey = "layers_to_transform";
  std::vector<uint32_t> layers;
  const ordered_json* value = Find(config, kKey);
  if (value == nullptr) return layers;
  const ordered_json list = value->is_array() ? *value : ordered_json::array({*value});
  for (const ordered_json& layer : list) {
    if (!layer.is_number_unsigned() || layer.get<uint64_t>() > UINT32_MAX) {
      return KeyError(kKey, "expected numbers of layers");
    }
    layers.push_back(layer.get<uint32_t>());
  }
  const ordered_json* pattern = Find(config, "layers_pattern");
  const bool is_layers = pattern == nullptr || *pattern == "layers" || *pattern == ordered_json::array({"layers"});
  if (!is_layers) return KeyError("layers_pattern", "only \"layers\" is supported");
  return layers;
}

template <typename T, typename ReadValue>
absl::StatusOr<std::vector<std::pair<std::string, T>>> ReadPatterns(const ordered_json& config, const char* key,
                                                                    ReadValue read_value) {
  std::vector<std::pair<std::string, T>> patterns;
  const ordered_json* value = Find(config, key);
  if (value == nullptr) return patterns;
  if (!value->is_object()) return KeyError(key, "expected an object of patterns");
  if (value->size() > kMaxPeftPatterns) {
    return absl::ResourceExhaustedError("adapter_config.json: " + std::string(key) + ": at most " +
                                        std::to_string(kMaxPeftPatterns) + " patterns, got " +
                                        std::to_string(value->size()));
  }
  for (const auto& [pattern, of_pattern] : value->items()) {
    ASSIGN_OR_RETURN(const T read, read_value(key, of_pattern));
    patterns.emplace_back(pattern, read);
  }
  return patterns;
}

absl::Status CheckKind(const ordered_json& config) {
  const auto type = config.find("peft_type");
  if (type == config.end() || *type != "LORA") {
    const std::string got = type == config.end() ? "nothing" : type->is_string() ? type->get<std::string>() : "?";
    return KeyError("peft_type", "expected LORA, got " + got.substr(0, 100));
  }
  const ordered_json* bias = Find(config, "bias");
  if (bias != nullptr && !IsOneOf(kBias, *bias)) return KeyError("bias", "expected none, all or lora_only");
  return CheckUnsupported(config);
}

}  // namespace

absl::StatusOr<PeftConfig> ParsePeftConfig(std::string_view json) {
  if (json.size() > kMaxPeftConfigBytes) {
    return absl::ResourceExhaustedError("adapter_config.json has more than " +
                                        std::to_string(kMaxPeftConfigBytes) + " bytes");
  }
  const ordered_json config = ordered_json::parse(json, nullptr, /*allow_exceptions=*/false);
  if (!config.is_object()) return absl::InvalidArgumentError("adapter_config.json: expected a JSON object");
  RETURN_IF_ERROR(CheckKind(config));
  PeftConfig result;
  ASSIGN_OR_RETURN(result.rank, ReadRank("r", config.value("r", ordered_json())));
  ASSIGN_OR_RETURN(result.alpha, ReadAlpha("lora_alpha", config.value("lora_alpha", ordered_json())));
  ASSIGN_OR_RETURN(result.rank_stabilized, OptionalBool(config, "use_rslora"));
  ASSIGN_OR_RETURN(result.dora, OptionalBool(config, "use_dora"));
  ASSIGN_OR_RETURN(result.target_modules, ReadChoice(config, "target_modules"));
  if (result.target_modules.empty()) return KeyError("target_modules", "expected a list of names, or a pattern");
  ASSIGN_OR_RETURN(result.exclude_modules, ReadChoice(config, "exclude_modules"));
  ASSIGN_OR_RETURN(result.layers_to_transform, ReadLayers(config));
  ASSIGN_OR_RETURN(result.rank_pattern, ReadPatterns<uint32_t>(config, "rank_pattern", ReadRank));
  ASSIGN_OR_RETURN(result.alpha_pattern, ReadPatterns<double>(config, "alpha_pattern", ReadAlpha));
  return result;
}

std::string FormatPeftConfig(const PeftConfig& config, std::string_view base_name) {
  CHECK(!config.rank_stabilized && config.target_modules.pattern.empty() && config.exclude_modules.pattern.empty() &&
        config.layers_to_transform.empty() && config.rank_pattern.empty() && config.alpha_pattern.empty());
  ordered_json json = {{"peft_type", "LORA"},
                       {"task_type", "CAUSAL_LM"},
                       {"base_model_name_or_path", base_name},
                       {"r", config.rank},
                       {"lora_alpha", config.alpha},
                       {"lora_dropout", 0.0},
                       {"bias", "none"},
                       {"fan_in_fan_out", false},
                       {"inference_mode", true},
                       {"target_modules", config.target_modules.names},
                       {"use_rslora", false},
                       {"modules_to_save", nullptr}};
  if (config.dora) json["use_dora"] = true;
  if (!config.exclude_modules.empty()) json["exclude_modules"] = config.exclude_modules.names;
  // A name that is no UTF-8 must not throw.
  return json.dump(2, ' ', false, ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace fleetune
