#include "lora/formats/peft_adapter.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "base/status_macros.h"
#include "lora/formats/lora_matrix.h"
#include "lora/formats/peft_config.h"
#include "lora/formats/safetensors.h"

namespace fleetune {
namespace {

constexpr std::string_view kPrefix = "base_model.model.model.layers.";

struct ModuleName {
  std::string_view parent;
  std::string_view name;
};
// By Projection.
constexpr std::array<ModuleName, kNumProjections> kModules = {{{"self_attn", "q_proj"},
                                                               {"self_attn", "k_proj"},
                                                               {"self_attn", "v_proj"},
                                                               {"self_attn", "o_proj"},
                                                               {"mlp", "gate_proj"},
                                                               {"mlp", "up_proj"},
                                                               {"mlp", "down_proj"}}};

std::string TensorName(uint32_t layer, Projection projection, bool is_b) {
  const ModuleName& module = kModules[static_cast<size_t>(projection)];
  return std::string(kPrefix) + std::to_string(layer) + "." + std::string(module.parent) + "." +
         std::string(module.name) + (is_b ? ".lora_B.weight" : ".lora_A.weight");
}

struct ParsedName {
  uint32_t layer = 0;
  Projection projection = Projection::kQ;
  bool is_b = false;
};

std::optional<ParsedName> ParseTensorName(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view rest = name.substr(kPrefix.size());
  ParsedName parsed;
  const auto [end, error] = std::from_chars(rest.data(), rest.data() + rest.size(), parsed.layer);
  if (error != std::errc()) return std::nullopt;
  for (size_t i = 0; i < kNumProjections; ++i) {
    parsed.projection = static_cast<Projection>(i);
    for (const bool is_b : {false, true}) {
      parsed.is_b = is_b;
      // Comparing whole names refuses leading zeros, too.
      if (TensorName(parsed.layer, parsed.projection, is_b) == name) return parsed;
    }
  }
  return std::nullopt;
}

absl::StatusOr<LoraMatrix> ReadMatrix(const SafetensorsTensor& tensor) {
  const auto name = ParseTensorName(tensor.name);
  if (!name) {
    return absl::InvalidArgumentError(
        "tensor \"" + tensor.name + "\" is no LoRA matrix of q, k, v, o, gate, up or down, and cannot be left out");
  }
  if (tensor.shape.size() != 2) {
    return absl::InvalidArgumentError(tensor.name + ": expected 2 axes, got " +
                                      std::to_string(tensor.shape.size()));
  }
  return LoraMatrix{.name = tensor.name,
                    .layer = name->layer,
                    .projection = name->projection,
                    .is_b = name->is_b,
                    .rows = tensor.shape[0],
                    .columns = tensor.shape[1],
                    .values = ToFloats(tensor)};
}

std::string_view ModuleOf(Projection projection) { return kModules[static_cast<size_t>(projection)].name; }

// The config's list and the tensors must speak of the same modules.
absl::Status CheckTargets(const PeftConfig& config, const AdapterSpec& spec) {
  if (config.target_modules.empty()) return absl::OkStatus();
  std::set<std::string_view> listed(config.target_modules.begin(), config.target_modules.end());
  for (const Projection target : spec.targets()) {
    if (listed.erase(ModuleOf(target)) == 0) {
      return absl::InvalidArgumentError("target_modules does not name " + std::string(ModuleOf(target)) +
                                        ", of which there are tensors");
    }
  }
  if (listed.empty()) return absl::OkStatus();
  return absl::InvalidArgumentError("target_modules names " + std::string(*listed.begin()) +
                                    ", of which there is no tensor");
}

}  // namespace

absl::StatusOr<Adapter> ReadPeftAdapter(std::string_view config, std::span<const uint8_t> tensors,
                                        const AdapterBase& base) {
  ASSIGN_OR_RETURN(const PeftConfig parsed, ParsePeftConfig(config));
  ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Parse(tensors));
  std::vector<LoraMatrix> matrices;
  for (const SafetensorsTensor& tensor : file.tensors()) {
    ASSIGN_OR_RETURN(LoraMatrix matrix, ReadMatrix(tensor));
    RETURN_IF_ERROR(ReorderHeads(HeadRows::kInterleave, base, matrix));
    matrices.push_back(std::move(matrix));
  }
  ASSIGN_OR_RETURN(Adapter adapter, AssembleAdapter(parsed.rank, parsed.alpha, std::move(matrices), base.sizes));
  RETURN_IF_ERROR(CheckTargets(parsed, adapter.spec()));
  return adapter;
}

absl::StatusOr<PeftFiles> WritePeftAdapter(const Adapter& adapter, const AdapterBase& base,
                                           std::string_view base_name) {
  PeftConfig config{.rank = adapter.spec().rank(), .alpha = adapter.spec().alpha(), .target_modules = {}};
  for (const Projection target : adapter.spec().targets()) {
    config.target_modules.emplace_back(ModuleOf(target));
  }
  std::vector<FloatTensor> tensors;
  for (LoraMatrix& matrix : SplitAdapter(adapter)) {
    matrix.name = TensorName(matrix.layer, matrix.projection, matrix.is_b);
    RETURN_IF_ERROR(ReorderHeads(HeadRows::kSeparate, base, matrix));
    tensors.push_back({.name = matrix.name,
                       .shape = {matrix.rows, matrix.columns},
                       .values = std::move(matrix.values)});
  }
  return PeftFiles{.config = FormatPeftConfig(config, base_name), .tensors = SerializeSafetensors(tensors)};
}

}  // namespace fleetune
