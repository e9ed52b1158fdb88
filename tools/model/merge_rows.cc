#include "tools/model/merge_rows.h"

#include <cmath>
#include <memory>
#include <utility>

#include "base/check.h"
#include "fmt/format.h"
#include "lora/formats/gguf_adapter.h"

namespace fleetune {
namespace {

absl::Status MergeRow(const LoraPair& pair, uint64_t row, std::span<float> values) {
  CHECK(pair.a.size() == pair.rank * values.size() && (row + 1) * pair.rank <= pair.b.size());
  std::vector<double> sum(values.begin(), values.end());
  for (uint64_t j = 0; j < pair.rank; ++j) {
    const double factor = pair.scale() * static_cast<double>(pair.b[row * pair.rank + j]);
    const std::span<const float> a = std::span(pair.a).subspan(j * values.size(), values.size());
    for (size_t i = 0; i < sum.size(); ++i) sum[i] += factor * static_cast<double>(a[i]);
  }
  double gain = 1;
  if (!pair.magnitude.empty()) {
    double square = 0;
    for (const double value : sum) square += value * value;
    if (square == 0) {
      return absl::InvalidArgumentError(fmt::format("{}: row {} is zero, and DoRA divides by its norm",
                                                    ProjectionTensorName(pair.layer, pair.projection), row));
    }
    gain = static_cast<double>(pair.magnitude[row]) / std::sqrt(square);
  }
  for (size_t i = 0; i < sum.size(); ++i) values[i] = static_cast<float>(gain * sum[i]);
  return absl::OkStatus();
}

}  // namespace

std::map<std::string, RowChange> MergeRows(std::vector<LoraPair> pairs) {
  std::map<std::string, RowChange> changes;
  for (LoraPair& pair : pairs) {
    const std::string name = ProjectionTensorName(pair.layer, pair.projection);
    const auto shared = std::make_shared<const LoraPair>(std::move(pair));  // a std::function is copied
    const bool is_new =
        changes
            .emplace(name, [shared](uint64_t row, std::span<float> values) { return MergeRow(*shared, row, values); })
            .second;
    CHECK(is_new);
  }
  return changes;
}

}  // namespace fleetune
