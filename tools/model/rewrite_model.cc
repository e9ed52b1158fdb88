#include "tools/model/rewrite_model.h"

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
    case TensorType::kQ4_K: return 14;
    case TensorType::kQ6_K: return 18;
  }
  CheckFailed(__FILE__, __LINE__, "a known tensor type");
}

TensorType TypeFor(const GgufTensor& tensor, std::optional<TensorType> wanted) {
  if (!wanted) return tensor.type;
  if (tensor.shape.size() == 1) return TensorType::kF32;
  const auto fits = [&tensor](TensorType type) { return tensor.columns % BlockElements(type) == 0; };
  if (fits(*wanted)) return *wanted;
  // Small models have rows that are no multiple of 256: the next larger type of small blocks.
  if (*wanted == TensorType::kQ4_K && fits(TensorType::kQ5_0)) return TensorType::kQ5_0;
  if (*wanted == TensorType::kQ6_K && fits(TensorType::kQ8_0)) return TensorType::kQ8_0;
  return TensorType::kF16;
}

absl::Status CheckFinite(const GgufTensor& tensor, uint64_t row, std::span<const float> values) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (std::isfinite(values[i])) continue;
    return absl::InvalidArgumentError(fmt::format("tensor {}: element {} of row {} is not finite", tensor.name, i, row));
  }
  return absl::OkStatus();
}

// `change` may be null. Fills in bytes and relative_error.
absl::StatusOr<Bytes> Recode(const GgufTensor& tensor, const RowChange* change, RewrittenTensor& result) {
  const uint64_t row_bytes = tensor.columns / BlockElements(result.to) * BlockBytes(result.to);
  Bytes data(tensor.rows * row_bytes);
  std::vector<float> before(tensor.columns);
  std::vector<float> after(tensor.columns);
  double error = 0;
  double power = 0;
  for (uint64_t row = 0; row < tensor.rows; ++row) {
    Dequantize(tensor.type, tensor.row(row), before);
    if (change != nullptr) RETURN_IF_ERROR((*change)(row, before));
    RETURN_IF_ERROR(CheckFinite(tensor, row, before));
    const std::span<uint8_t> blocks = std::span(data).subspan(row * row_bytes, row_bytes);
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
  return data;
}

absl::StatusOr<RewrittenTensor> AddRewritten(const GgufTensor& tensor, const RewriteOptions& options,
                                             GgufWriter& writer) {
  const auto change = options.changes.find(tensor.name);
  RewrittenTensor result{.name = tensor.name,
                         .from = tensor.type,
                         .to = TypeFor(tensor, options.type),
                         .changed = change != options.changes.end(),
                         .bytes = tensor.data.size()};
  if (!result.changed && result.to == tensor.type) {
    writer.AddTensor(tensor.name, tensor.type, tensor.shape, {tensor.data.begin(), tensor.data.end()});
    return result;
  }
  ASSIGN_OR_RETURN(Bytes data, Recode(tensor, result.changed ? &change->second : nullptr, result));
  writer.AddTensor(tensor.name, result.to, tensor.shape, std::move(data));
  return result;
}

void AddMetadata(const GgufFile& file, std::optional<TensorType> type, GgufWriter& writer) {
  for (const auto& [key, value] : file.values()) {
    if (key == "general.alignment" || (type && key == "general.file_type")) continue;
    writer.AddValue(key, value);
  }
  if (type) writer.AddUint32("general.file_type", FileTypeOf(*type));
}

}  // namespace

absl::StatusOr<std::vector<RewrittenTensor>> RewriteModel(const GgufFile& file, const RewriteOptions& options,
                                                          GgufWriter& writer) {
  AddMetadata(file, options.type, writer);
  std::vector<RewrittenTensor> results;
  for (const GgufTensor& tensor : file.tensors()) {
    ASSIGN_OR_RETURN(RewrittenTensor result, AddRewritten(tensor, options, writer));
    results.push_back(std::move(result));
  }
  return results;
}

}  // namespace fleetune
