#include "lora/formats/peft_adapter.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/safetensors/safetensors.h"
#include "lora/formats/lora_matrix.h"
#include "lora/formats/peft_config.h"
#include "lora/formats/peft_modules.h"

namespace fleetune {
namespace {

constexpr std::string_view kPrefix = "base_model.model.";
constexpr std::string_view kLayers = "model.layers.";

constexpr std::pair<std::string_view, LoraPart> kParts[] = {
    {".lora_A.weight", LoraPart::kA},
    {".lora_B.weight", LoraPart::kB},
    {".lora_magnitude_vector", LoraPart::kMagnitude},
    {".lora_magnitude_vector.weight", LoraPart::kMagnitude},
};

// Everything but the shape and the values; nothing if the name is another.
std::optional<LoraMatrix> ParseTensorName(const std::string& name) {
  const std::string prefix = std::string(kPrefix) + std::string(kLayers);
  if (!name.starts_with(prefix)) return std::nullopt;
  LoraMatrix matrix{.name = name, .values = {}};
  if (std::from_chars(name.data() + prefix.size(), name.data() + name.size(), matrix.layer).ec != std::errc()) {
    return std::nullopt;
  }
  for (size_t i = 0; i < kNumProjections; ++i) {
    matrix.projection = static_cast<Projection>(i);
    const std::string module = std::string(kPrefix) + PeftModuleName(matrix.layer, matrix.projection);
    for (const auto& [suffix, part] : kParts) {
      matrix.part = part;
      // Comparing whole names refuses leading zeros, too.
      if (name.size() == module.size() + suffix.size() && name.starts_with(module) && name.ends_with(suffix)) {
        return matrix;
      }
    }
  }
  return std::nullopt;
}

absl::StatusOr<LoraMatrix> ReadMatrix(const SafetensorsTensor& tensor) {
  std::optional<LoraMatrix> matrix = ParseTensorName(tensor.name);
  if (!matrix) {
    return absl::InvalidArgumentError(
        "tensor \"" + tensor.name + "\" is no LoRA matrix of q, k, v, o, gate, up or down, and cannot be left out");
  }
  const size_t axes = matrix->part == LoraPart::kMagnitude ? 1 : 2;
  if (tensor.shape.size() != axes) {
    return absl::InvalidArgumentError(tensor.name + ": expected " + std::to_string(axes) + " axes, got " +
                                      std::to_string(tensor.shape.size()));
  }
  matrix->rows = tensor.shape[0];
  matrix->columns = axes == 2 ? tensor.shape[1] : 1;
  matrix->values = ToFloats(tensor);
  return *std::move(matrix);
}

absl::Status Contradiction(const LoraPair& pair, const std::string& what) {
  return absl::InvalidArgumentError("the tensors of " + PeftModuleName(pair.layer, pair.projection) + " " + what);
}

// Gives `pair` its alpha, if the configuration speaks of such a pair.
absl::Status Reconcile(const PeftConfig& config,
                       const std::map<std::pair<uint32_t, Projection>, PeftModule>& modules, LoraPair& pair) {
  const auto module = modules.find({pair.layer, pair.projection});
  if (module == modules.end()) return Contradiction(pair, "are there, but target_modules does not choose it");
  if (pair.rank != module->second.rank) {
    return Contradiction(pair, "have rank " + std::to_string(pair.rank) + ", expected " +
                                   std::to_string(module->second.rank) + " by the configuration");
  }
  if (config.dora == pair.magnitude.empty()) {
    return Contradiction(pair, config.dora ? "have no magnitude, expected one by use_dora"
                                           : "have a magnitude, but use_dora is not set");
  }
  pair.alpha = module->second.alpha;
  return absl::OkStatus();
}

std::string_view SuffixOf(LoraPart part) {
  switch (part) {
    case LoraPart::kA:
      return ".lora_A.weight";
    case LoraPart::kB:
      return ".lora_B.weight";
    case LoraPart::kMagnitude:
      return ".lora_magnitude_vector";
  }
  CheckFailed(__FILE__, __LINE__, "a known part");
}

// Takes the modules without magnitudes out of a DoRA adapter's pairs; gives their names.
absl::StatusOr<std::vector<std::string>> TakeOutPlain(std::vector<LoraPair>& pairs) {
  std::vector<std::string> names;
  for (const LoraPair& pair : pairs) {
    if (!pair.magnitude.empty()) continue;
    names.push_back(PeftModuleName(pair.layer, pair.projection));
    if (std::ranges::all_of(pair.b, [](float value) { return value == 0; })) continue;
    return absl::InvalidArgumentError(names.back() + " is plain LoRA beside DoRA, which PEFT has in all modules or in none");
  }
  std::erase_if(pairs, [](const LoraPair& pair) { return pair.magnitude.empty(); });
  return names;
}

}  // namespace

absl::StatusOr<std::vector<LoraPair>> ReadPeftAdapter(std::string_view config, std::span<const uint8_t> tensors,
                                                      const AdapterBase& base) {
  ASSIGN_OR_RETURN(const PeftConfig parsed, ParsePeftConfig(config));
  ASSIGN_OR_RETURN(auto modules, ChoosePeftModules(parsed, base.sizes.layers));
  ASSIGN_OR_RETURN(const SafetensorsFile file, SafetensorsFile::Parse(tensors));
  std::vector<LoraMatrix> matrices;
  for (const SafetensorsTensor& tensor : file.tensors()) {
    ASSIGN_OR_RETURN(LoraMatrix matrix, ReadMatrix(tensor));
    RETURN_IF_ERROR(ReorderHeads(HeadRows::kInterleave, base, matrix));
    matrices.push_back(std::move(matrix));
  }
  ASSIGN_OR_RETURN(std::vector<LoraPair> pairs, PairMatrices(std::move(matrices), base.sizes));
  for (LoraPair& pair : pairs) {
    RETURN_IF_ERROR(Reconcile(parsed, modules, pair));
    modules.erase({pair.layer, pair.projection});
  }
  if (modules.empty()) return pairs;
  const auto& [layer, projection] = modules.begin()->first;
  return absl::InvalidArgumentError("target_modules chooses " + PeftModuleName(layer, projection) +
                                    ", of which there is no tensor");
}

absl::StatusOr<PeftFiles> WritePeftAdapter(const Adapter& adapter, const AdapterBase& base,
                                           std::string_view base_name) {
  const AdapterSpec& spec = adapter.spec();
  PeftConfig config;
  config.rank = spec.rank();
  config.alpha = static_cast<double>(spec.alpha());
  for (const Projection target : spec.targets()) {
    config.target_modules.names.emplace_back(PeftProjectionName(target));
  }
  config.dora = spec.dora();
  std::vector<LoraPair> pairs = SplitAdapter(adapter);
  if (config.dora) {
    ASSIGN_OR_RETURN(config.exclude_modules.names, TakeOutPlain(pairs));
  }
  std::vector<FloatTensor> tensors;
  for (LoraMatrix& matrix : SplitPairs(std::move(pairs), spec.base())) {
    matrix.name = std::string(kPrefix) + PeftModuleName(matrix.layer, matrix.projection);
    matrix.name += SuffixOf(matrix.part);
    RETURN_IF_ERROR(ReorderHeads(HeadRows::kSeparate, base, matrix));
    std::vector<uint64_t> shape = {matrix.rows};
    if (matrix.part != LoraPart::kMagnitude) shape.push_back(matrix.columns);
    tensors.push_back({.name = matrix.name, .shape = std::move(shape), .values = std::move(matrix.values)});
  }
  return PeftFiles{.config = FormatPeftConfig(config, base_name), .tensors = SerializeSafetensors(tensors)};
}

}  // namespace fleetune
