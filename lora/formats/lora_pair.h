#pragma once

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// What an adapter does to one module, as foreign formats hold it: each module has a rank and an alpha of its own.
struct LoraPair {
  uint32_t layer = 0;
  Projection projection = Projection::kQ;
  uint32_t rank = 0;             // 1 .. kMaxAdapterRank
  float alpha = 0;               // y += (alpha / rank) * B (A x)
  std::vector<float> a;          // rank x in, row-major
  std::vector<float> b;          // out x rank, row-major: not by rank, as Adapter holds it
  std::vector<float> magnitude;  // DoRA (Liu et al. 2024): out norms of the changed rows; empty for plain LoRA

  double scale() const { return static_cast<double>(alpha) / rank; }
};

// One Adapter, which has one rank R and one alpha for all modules: R is the largest rank, alpha that of the first
// pair that has it. Pairs of a smaller rank get rows of zeros; where alpha / rank differs from the adapter's, B is
// multiplied by the quotient, which rounds each element once (not at all where the quotient is a power of two).
// Modules of a target that is in some layers only get zeros in the others: they change nothing, and training leaves
// them at zero, as both factors are.
//
// InvalidArgument for no pair, a DoRA pair whose norms are all zero (which says here that there are none), an alpha that
// is not above 0, a value that is not finite, or sizes over the limits of AdapterSpec. Requires pairs whose
// sizes fit `base`, none twice; checked.
absl::StatusOr<Adapter> AssembleAdapter(const std::vector<LoraPair>& pairs, const BaseSizes& base);

// The inverse: the modules in the order of the spec, each with the adapter's rank and alpha.
std::vector<LoraPair> SplitAdapter(const Adapter& adapter);

}  // namespace fleetune
