#include "inference/model/row_gains.h"

#include "base/check.h"
#include "fmt/format.h"
#include "inference/kernels/row_norms.h"

namespace fleetune {
namespace {

const WeightMatrix& ProjectionMatrix(const LayerWeights& weights, Projection projection) {
  switch (projection) {
    case Projection::kQ: return weights.q;
    case Projection::kK: return weights.k;
    case Projection::kV: return weights.v;
    case Projection::kO: return weights.o;
    case Projection::kGate: return weights.gate;
    case Projection::kUp: return weights.up;
    case Projection::kDown: return weights.down;
  }
  CheckFailed(__FILE__, __LINE__, "a known projection");
}

}  // namespace

absl::StatusOr<std::shared_ptr<const RowGains>> RowGains::Of(const Adapter& adapter, const ModelWeights& weights,
                                                             const Compute& compute) {
  auto result = std::make_shared<RowGains>();
  for (const LoraModule& module : adapter.spec().modules()) {
    const std::span<const float> magnitudes = adapter.magnitudes(module);
    if (magnitudes.empty()) continue;
    std::vector<float> gains(module.out);
    RowNorms(ProjectionMatrix(weights.layers[module.layer], module.projection),
             {.a = adapter.a(module), .b = adapter.b(module), .scale = adapter.spec().scale()}, compute, gains);
    for (size_t row = 0; row < gains.size(); ++row) {
      if (gains[row] == 0) {
        return absl::InvalidArgumentError(fmt::format("row {} of {} in layer {} is zero, and DoRA divides by its norm", row,
                                                      ProjectionName(module.projection), module.layer));
      }
      gains[row] = magnitudes[row] / gains[row];
    }
    result->gains_[{module.layer, module.projection}] = std::move(gains);
  }
  return result;
}

std::span<const float> RowGains::Find(uint32_t layer, Projection projection) const {
  const auto found = gains_.find({layer, projection});
  return found == gains_.end() ? std::span<const float>() : found->second;
}

}  // namespace fleetune
