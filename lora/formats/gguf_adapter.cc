#include "lora/formats/gguf_adapter.h"

#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/status_macros.h"
#include "inference/gguf/gguf_writer.h"
#include "inference/gguf/llama_shape.h"
#include "inference/safetensors/half.h"
#include "lora/formats/lora_matrix.h"

namespace fleetune {
namespace {

constexpr char kAlphaKey[] = "adapter.lora.alpha";

// By Projection.
constexpr std::array<const char*, kNumProjections> kParts = {
    "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"};

std::string TensorName(uint32_t layer, Projection projection, LoraPart part) {
  return ProjectionTensorName(layer, projection) + (part == LoraPart::kB ? ".lora_b" : ".lora_a");
}

absl::Status ExpectString(const GgufFile& file, const char* key, std::string_view expected) {
  ASSIGN_OR_RETURN(const std::string_view value, file.GetString(key));
  if (value == expected) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(key) + ": expected " + std::string(expected) + ", got " +
                                    std::string(value.substr(0, 100)));
}

// Keys about adapters that we do not know would change what it computes or when it is used.
absl::Status CheckKeys(const GgufFile& file, const AdapterBase& base) {
  RETURN_IF_ERROR(ExpectString(file, "general.type", "adapter"));
  RETURN_IF_ERROR(ExpectString(file, "adapter.type", "lora"));
  RETURN_IF_ERROR(ExpectString(file, "general.architecture", base.architecture));
  for (const auto& [key, value] : file.values()) {
    if (key.starts_with("adapter.") && key != "adapter.type" && key != kAlphaKey) {
      return absl::InvalidArgumentError("key " + key.substr(0, 100) + " is not supported");
    }
  }
  return absl::OkStatus();
}

std::optional<LoraMatrix> ParseTensorName(const std::string& name) {
  constexpr std::string_view kPrefix = "blk.";
  if (!name.starts_with(kPrefix)) return std::nullopt;
  LoraMatrix matrix{.name = name, .values = {}};
  const char* const begin = name.data() + kPrefix.size();
  if (std::from_chars(begin, name.data() + name.size(), matrix.layer).ec != std::errc()) return std::nullopt;
  for (size_t i = 0; i < kNumProjections; ++i) {
    matrix.projection = static_cast<Projection>(i);
    for (const LoraPart part : {LoraPart::kA, LoraPart::kB}) {
      matrix.part = part;
      if (TensorName(matrix.layer, matrix.projection, part) == name) return matrix;
    }
  }
  return std::nullopt;
}

absl::StatusOr<std::vector<float>> ReadFloats(const GgufTensor& tensor) {
  std::vector<float> values(tensor.rows * tensor.columns);
  if (tensor.type == TensorType::kF32) {
    if (!values.empty()) std::memcpy(values.data(), tensor.data.data(), tensor.data.size());
    return values;
  }
  if (tensor.type != TensorType::kF16 && tensor.type != TensorType::kBF16) {
    return absl::InvalidArgumentError(tensor.name + ": type " + std::string(TensorTypeName(tensor.type)) +
                                      " is not supported in adapters; F32, F16 and BF16 are");
  }
  for (size_t i = 0; i < values.size(); ++i) {
    const auto bits = static_cast<uint16_t>(tensor.data[2 * i] | tensor.data[2 * i + 1] << 8);
    values[i] = tensor.type == TensorType::kF16 ? FloatFromHalf(bits) : FloatFromBfloat16(bits);
  }
  return values;
}

absl::StatusOr<LoraMatrix> ReadMatrix(const GgufTensor& tensor) {
  std::optional<LoraMatrix> matrix = ParseTensorName(tensor.name);
  if (!matrix) {
    return absl::InvalidArgumentError("tensor \"" + tensor.name +
                                      "\" is no LoRA matrix of q, k, v, o, gate, up or down");
  }
  if (tensor.shape.size() != 2) {
    return absl::InvalidArgumentError(tensor.name + ": expected 2 axes, got " +
                                      std::to_string(tensor.shape.size()));
  }
  matrix->rows = tensor.rows;
  matrix->columns = tensor.columns;
  ASSIGN_OR_RETURN(matrix->values, ReadFloats(tensor));
  return *std::move(matrix);
}

// Nothing in the file says which modules it should have: one that lacks some is more likely cut off, or for another
// base, than meant so.
absl::Status CheckEveryLayer(const std::vector<LoraPair>& pairs, const BaseSizes& base) {
  std::array<uint32_t, kNumProjections> layers{};
  for (const LoraPair& pair : pairs) ++layers[static_cast<size_t>(pair.projection)];
  for (size_t i = 0; i < kNumProjections; ++i) {
    if (layers[i] == 0 || layers[i] == base.layers) continue;
    return absl::InvalidArgumentError(std::string(kParts[i]) + " is there in " + std::to_string(layers[i]) +
                                      " layers, expected in all " + std::to_string(base.layers) + " of the base");
  }
  return absl::OkStatus();
}

}  // namespace

std::string ProjectionTensorName(uint32_t layer, Projection projection) {
  return BlockTensorName(layer, kParts[static_cast<size_t>(projection)]);
}

absl::StatusOr<std::vector<LoraPair>> ReadGgufAdapter(const GgufFile& file, const AdapterBase& base) {
  if (absl::Status status = CheckKeys(file, base); !status.ok()) {
    return absl::InvalidArgumentError("not an adapter for this base: " + std::string(status.message()));
  }
  const auto alpha = file.GetFloat(kAlphaKey);
  if (!alpha.ok()) return absl::InvalidArgumentError(alpha.status().message());
  std::vector<LoraMatrix> matrices;
  for (const GgufTensor& tensor : file.tensors()) {
    ASSIGN_OR_RETURN(LoraMatrix matrix, ReadMatrix(tensor));
    matrices.push_back(std::move(matrix));
  }
  if (matrices.empty()) return absl::InvalidArgumentError("the adapter has no tensors");
  ASSIGN_OR_RETURN(std::vector<LoraPair> pairs, PairMatrices(std::move(matrices), base.sizes));
  for (LoraPair& pair : pairs) {
    // The format's own rule: of an alpha of 0 the scale is 1.
    pair.alpha = *alpha == 0 ? static_cast<float>(pair.rank) : static_cast<float>(*alpha);
  }
  RETURN_IF_ERROR(CheckEveryLayer(pairs, base.sizes));
  return pairs;
}

Bytes WriteGgufAdapter(const Adapter& adapter, const AdapterBase& base, std::string_view base_name) {
  CHECK(!adapter.spec().dora());
  GgufWriter writer;
  writer.AddString("general.type", "adapter");
  writer.AddString("general.architecture", base.architecture);
  writer.AddUint32("general.base_model.count", 1);
  writer.AddString("general.base_model.0.name", base_name);
  writer.AddString("adapter.type", "lora");
  writer.AddFloat(kAlphaKey, adapter.spec().alpha());
  for (const LoraMatrix& matrix : SplitPairs(SplitAdapter(adapter), adapter.spec().base())) {
    const auto* bytes = reinterpret_cast<const uint8_t*>(matrix.values.data());
    writer.AddTensor(TensorName(matrix.layer, matrix.projection, matrix.part), TensorType::kF32,
                     {matrix.columns, matrix.rows}, Bytes(bytes, bytes + matrix.values.size() * sizeof(float)));
  }
  return writer.Finish();
}

}  // namespace fleetune
