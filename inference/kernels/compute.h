#pragma once

#include "inference/kernels/instruction_set.h"
#include "inference/kernels/workers.h"

namespace fleetune {

// What a product is computed with. Neither changes a bit of the result.
struct Compute {
  InstructionSet set = InstructionSet::kScalar;  // one of UsableInstructionSets
  Workers* workers = nullptr;                    // borrowed; null: the calling thread alone
};

// part(0) ... part(parts - 1), on the workers if there are any.
inline void RunParts(const Compute& compute, size_t parts, absl::FunctionRef<void(size_t)> part) {
  if (compute.workers != nullptr) return compute.workers->Run(parts, part);
  for (size_t i = 0; i < parts; ++i) part(i);
}

}  // namespace fleetune
