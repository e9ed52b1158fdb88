#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// What a training changed: after.b - before.b, flat, in the order of AdapterSpec; b_size() floats.
using Delta = std::vector<float>;

// InvalidArgument if the specs differ, the A differ (only B travels), or a difference is not finite.
absl::StatusOr<Delta> MakeDelta(const Adapter& before, const Adapter& after);

}  // namespace fleetune
