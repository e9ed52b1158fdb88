#include "lora/train/trained_matrix.h"

#include <algorithm>

namespace fleetune {

std::vector<TrainedMatrix> TrainedMatrices(const AdapterSpec& spec, Factors trained, uint32_t ranks) {
  std::vector<TrainedMatrix> matrices;
  const auto add = [&matrices](uint32_t rows, uint32_t columns) {
    const uint64_t offset = matrices.empty() ? 0 : matrices.back().offset + matrices.back().size();
    matrices.push_back({.offset = offset, .rows = rows, .columns = columns});
  };
  if (HasA(trained)) {
    for (const LoraModule& module : spec.modules()) add(spec.rank(), module.in);
  }
  if (HasB(trained)) {
    const uint32_t rows = ranks == 0 ? spec.rank() : std::min(ranks, spec.rank());
    for (const LoraModule& module : spec.modules()) add(rows, module.out);
  }
  return matrices;
}

}  // namespace fleetune
