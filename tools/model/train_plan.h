#pragma once

#include "absl/status/status.h"
#include "inference/gguf/gguf_file.h"
#include "lora/adapter/adapter.h"
#include "tools/model/train_arguments.h"

namespace fleetune {

// Prints what a training would need: memory by what it is for, how it would work within it, the time of a step, the
// bytes of an update; and if it does not fit what would. Measures the rate of products for about a second.
// ResourceExhausted if it does not fit, after printing.
absl::Status PrintTrainPlan(const TrainArguments& arguments, const TrainOptions& options, const TrainMachine& machine,
                            const GgufFile& model, const Adapter& start);

}  // namespace fleetune
