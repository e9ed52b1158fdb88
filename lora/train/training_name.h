#pragma once

#include <span>

#include "base/digest.h"
#include "inference/gguf/gguf_file.h"
#include "lora/adapter/adapter.h"
#include "lora/examples/token_example.h"
#include "lora/plan/product_type.h"
#include "lora/plan/training_plan.h"

namespace fleetune {

// A hash of all that decides what a training learns, to tell whether a checkpoint is of the same one. Of the model,
// only names and sizes of the tensors and a piece of each: the whole file may be large. Pure.
Digest NameTraining(const GgufFile& model, std::span<const TokenExample> examples,
                    std::span<const TokenExample> held_out, const Adapter& initial, const TrainOptions& options,
                    ProductType products);

}  // namespace fleetune
