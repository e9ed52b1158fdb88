#include "lora/train/initial_magnitudes.h"

#include <span>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "inference/kernels/row_norms.h"
#include "lora/train/base_tensors.h"

namespace fleetune {

absl::StatusOr<Adapter> WithMagnitudes(const GgufFile& model, const Adapter& adapter) {
  const AdapterSpec& plain = adapter.spec();
  if (plain.dora()) return adapter;
  ASSIGN_OR_RETURN(AdapterSpec spec,
                   AdapterSpec::Create({.rank = plain.rank(), .alpha = plain.alpha(), .targets = plain.targets(), .dora = true},
                                       plain.base()));
  std::vector<float> magnitudes(spec.magnitudes_size());
  for (const LoraModule& module : spec.modules()) {
    ASSIGN_OR_RETURN(const GgufTensor* weight, BaseTensor(model, module.layer, module.projection));
    const std::span<float> norms = std::span(magnitudes).subspan(module.b_offset / spec.rank(), module.out);
    RowNorms(MatrixOf(*weight), {.a = adapter.a(module), .b = adapter.b(module), .scale = spec.scale()}, {}, norms);
    for (size_t row = 0; row < norms.size(); ++row) {
      if (norms[row] > 0) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(weight->name, ": row ", row, " is zero, and DoRA divides by its norm"));
    }
  }
  return Adapter::Create(std::move(spec), {adapter.a().begin(), adapter.a().end()}, {adapter.b().begin(), adapter.b().end()},
                         std::move(magnitudes));
}

}  // namespace fleetune
