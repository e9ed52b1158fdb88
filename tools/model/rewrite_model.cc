#include "tools/model/rewrite_model.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "base/status_macros.h"
#include "fmt/format.h"
#include "inference/gguf/gguf_writer.h"
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

constexpr uint64_t kBytesAtOnce = 1 << 20;

// Sums of squares over a tensor.
struct RoundingError {
  double error = 0;
  double power = 0;

  void Add(std::span<const float> before, std::span<const float> after) {
    for (size_t i = 0; i < before.size(); ++i) {
      const double value = static_cast<double>(before[i]);
      const double difference = static_cast<double>(after[i]) - value;
      error += difference * difference;
      power += value * value;
    }
  }
  double Relative() const { return power == 0 ? 0 : std::sqrt(error / power); }
};

// `change` may be null. Fills in relative_error.
absl::Status Recode(const GgufTensor& tensor, const RowChange* change, RewrittenTensor& result, ByteSink sink) {
  const uint64_t row_bytes = tensor.columns / BlockElements(result.to) * BlockBytes(result.to);
  const uint64_t rows_at_once = std::max<uint64_t>(1, kBytesAtOnce / row_bytes);
  Bytes rows(std::min(tensor.rows, rows_at_once) * row_bytes);
  std::vector<float> before(tensor.columns);
  std::vector<float> after(tensor.columns);
  RoundingError rounding;
  for (uint64_t begin = 0; begin < tensor.rows; begin += rows_at_once) {
    const uint64_t count = std::min(rows_at_once, tensor.rows - begin);
    for (uint64_t i = 0; i < count; ++i) {
      Dequantize(tensor.type, tensor.row(begin + i), before);
      if (change != nullptr) RETURN_IF_ERROR((*change)(begin + i, before));
      RETURN_IF_ERROR(CheckFinite(tensor, begin + i, before));
      const std::span<uint8_t> blocks = std::span(rows).subspan(i * row_bytes, row_bytes);
      Quantize(result.to, before, blocks);
      Dequantize(result.to, blocks, after);
      rounding.Add(before, after);
    }
    RETURN_IF_ERROR(sink(std::span(rows).first(count * row_bytes)));
  }
  if (!std::isfinite(rounding.error)) {
    return absl::InvalidArgumentError(
        fmt::format("tensor {} holds values too large for {}", tensor.name, TensorTypeName(result.to)));
  }
  result.relative_error = rounding.Relative();
  return absl::OkStatus();
}

RewrittenTensor PlanFor(const GgufTensor& tensor, const RewriteOptions& options) {
  const TensorType to = TypeFor(tensor, options.type);
  return {.name = tensor.name,
          .from = tensor.type,
          .to = to,
          .changed = options.changes.contains(tensor.name),
          .bytes = tensor.rows * (tensor.columns / BlockElements(to) * BlockBytes(to))};
}

absl::Status WriteTensor(const GgufTensor& tensor, const RewriteOptions& options, RewrittenTensor& result,
                         ByteSink sink) {
  const auto change = options.changes.find(tensor.name);
  if (!result.changed && result.to == tensor.type) return sink(tensor.data);
  return Recode(tensor, result.changed ? &change->second : nullptr, result, sink);
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
                                                          const std::string& path) {
  GgufWriter writer;
  AddMetadata(file, options.type, writer);
  std::vector<RewrittenTensor> results;
  for (const GgufTensor& tensor : file.tensors()) results.push_back(PlanFor(tensor, options));
  for (size_t i = 0; i < results.size(); ++i) {
    const GgufTensor& tensor = file.tensors()[i];
    RewrittenTensor& result = results[i];
    writer.AddTensor(tensor.name, result.to, tensor.shape, [&](ByteSink sink) {
      RETURN_IF_ERROR(WriteTensor(tensor, options, result, sink));
      file.ReleasePages();
      return absl::OkStatus();
    });
  }
  RETURN_IF_ERROR(writer.WriteFile(path));
  return results;
}

}  // namespace fleetune
