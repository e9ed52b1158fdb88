#pragma once

#include "absl/status/status.h"
#include "tools/model/train_arguments.h"

namespace fleetune {

// Does what `train` was asked for and prints the result.
absl::Status RunTraining(const TrainArguments& arguments);

}  // namespace fleetune
