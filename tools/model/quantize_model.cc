#include "tools/model/quantize_model.h"

#include <cmath>

#include "base/check.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

// The format's general.file_type: the type of most tensors.
uint32_t FileTypeOf(TensorType type) {
  switch (type) {
    case TensorType::kF32: return 0;
    case TensorType::kF16: return 1;
    case TensorType::kQ4_0: return 2;
    case TensorType::kQ8_0: return 7;
    case TensorType::kQ5_0: return 8;
    case TensorType::kBF16: return 32;
    case TensorType::kQ4_K:
    case TensorType::kQ6_K: break;
  }
  CheckFailed(__FILE__, __LINE__, "a type that can be quantized to");
}

TensorType TypeFor(const GgufTensor& tensor, TensorType wanted) {
  if (tensor.shape.size() == 1) return TensorType::kF32;
  return tensor.columns % BlockElements(wanted) == 0 ? wanted : TensorType::kF16;
}

absl::StatusOr<QuantizedTensor> AddQuantized(const GgufTensor& tensor, TensorType type, GgufWriter& writer) {
  QuantizedTensor result{.name = tensor.name, .from = tensor.type, .to = TypeFor(tensor, type)};
  const uint64_t row_bytes = tensor.columns / BlockElements(result.to) * BlockBytes(result.to);
  Bytes data(tensor.rows * row_bytes);
  std::vector<float> before(tensor.columns);
  std::vector<float> after(tensor.columns);
  double error = 0;
  double power = 0;
  for (uint64_t row = 0; row < tensor.rows; ++row) {
    Dequantize(tensor.type, tensor.row(row), before);
    const std::span<uint8_t> blocks = std::span(data).subspan(row * row_bytes, row_bytes);
    for (size_t i = 0; i < before.size(); ++i) {
      if (!std::isfinite(before[i])) {
        return absl::InvalidArgumentError(
            fmt::format("tensor {}: element {} of row {} is not finite", tensor.name, i, row));
      }
    }
    Quantize(result.to, before, blocks);
    Dequantize(result.to, blocks, after);
    for (size_t i = 0; i < before.size(); ++i) {
      const double value = static_cast<double>(before[i]);
      error += (static_cast<double>(after[i]) - value) * (static_cast<double>(after[i]) - value);
      power += value * value;
    }
  }
  if (!std::isfinite(error)) {
    return absl::InvalidArgumentError(
        fmt::format("tensor {} holds values too large for {}", tensor.name, TensorTypeName(result.to)));
  }
  result.bytes = data.size();
  result.relative_error = power == 0 ? 0 : std::sqrt(error / power);
  writer.AddTensor(tensor.name, result.to, tensor.shape, std::move(data));
  return result;
}

}  // namespace

absl::StatusOr<std::vector<QuantizedTensor>> QuantizeModel(const GgufFile& file, TensorType type,
                                                           GgufWriter& writer) {
  CHECK(CanDequantize(type));
  for (const auto& [key, value] : file.values()) {
    if (key == "general.alignment") continue;
    writer.AddValue(key, key == "general.file_type" ? GgufValue(FileTypeOf(type)) : value);
  }
  if (file.FindValue("general.file_type") == nullptr) writer.AddUint32("general.file_type", FileTypeOf(type));
  std::vector<QuantizedTensor> results;
  for (const GgufTensor& tensor : file.tensors()) {
    if (!CanDequantize(tensor.type)) {
      return absl::InvalidArgumentError(fmt::format("tensor {} has type {}, which cannot be converted",
                                                    tensor.name, TensorTypeName(tensor.type)));
    }
    ASSIGN_OR_RETURN(QuantizedTensor result, AddQuantized(tensor, type, writer));
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace fleetune
