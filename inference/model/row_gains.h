#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "inference/kernels/compute.h"
#include "inference/model/weights.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// By what a DoRA adapter multiplies the rows of what it changes of one base: m / ||W + s B A||, so that serving it beside the
// base costs a factor a row. Immutable, so thread-safe.
class RowGains {
 public:
  // Reads once all weights that have magnitudes, and forms s B A: `rank` multiplications for each of them. Requires an adapter
  // that fits. InvalidArgument naming a row of W + s B A that is zero, by whose norm DoRA would divide.
  static absl::StatusOr<std::shared_ptr<const RowGains>> Of(const Adapter& adapter, const ModelWeights& weights,
                                                            const Compute& compute);

  // `out` floats; empty where the adapter has no magnitudes.
  std::span<const float> Find(uint32_t layer, Projection projection) const;

 private:
  std::map<std::pair<uint32_t, Projection>, std::vector<float>> gains_;
};

}  // namespace fleetune
