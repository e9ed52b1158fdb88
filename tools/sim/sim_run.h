#pragma once

#include "absl/status/status.h"
#include "tools/sim/sim_arguments.h"

namespace fleetune {

// The whole run: reads task, model and texts, runs the fleet, the pooled training or both, prints, and writes what
// --out asks for. InvalidArgument and NotFound name what is wrong with the input.
absl::Status RunSimulation(const SimArguments& arguments);

}  // namespace fleetune
