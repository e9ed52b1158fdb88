#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/factors.h"

namespace fleetune {

// What a training changed: after - before of what was trained, flat, FloatsOf(spec, trained) floats.
using Delta = std::vector<float>;

// InvalidArgument if the specs differ or are of DoRA, whose magnitudes no delta holds, a factor that was not trained does, or a
// difference is not finite.
absl::StatusOr<Delta> MakeDelta(const Adapter& before, const Adapter& after, Factors trained);

}  // namespace fleetune
