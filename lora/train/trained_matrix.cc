#include "lora/train/trained_matrix.h"

#include <algorithm>

namespace fleetune {

std::vector<TrainedMatrix> TrainedMatrices(const AdapterSpec& spec, const TrainOptions& options) {
  std::vector<TrainedMatrix> matrices;
  const auto add = [&matrices](uint32_t rows, uint32_t columns, double rate) {
    const uint64_t offset = matrices.empty() ? 0 : matrices.back().offset + matrices.back().size();
    matrices.push_back({.offset = offset, .rows = rows, .columns = columns, .rate = rate});
  };
  const uint32_t rows = options.ranks == 0 ? spec.rank() : std::min(options.ranks, spec.rank());
  if (HasA(options.factors)) {
    for (const LoraModule& module : spec.modules()) add(rows, module.in, 1.0);
  }
  if (spec.dora()) {
    for (const LoraModule& module : spec.modules()) {
      add(1, module.out, 1.0);
      matrices.back().decays = false;
    }
  }
  if (HasB(options.factors)) {
    for (const LoraModule& module : spec.modules()) add(rows, module.out, options.lora_plus_ratio);
  }
  return matrices;
}

}  // namespace fleetune
