#pragma once

#include "inference/gguf/llama_shape.h"
#include "lora/plan/product_type.h"

namespace fleetune {

// What LibTorch's matrix product does on this machine, in floating-point operations a second of processor time of this
// process, with the threads that trainings use: over the shapes of a model's layers and 512 rows, each the best of
// several, weighted as a training meets them; for int8 that of bf16, which its way back has. Takes about a second. Not
// thread-safe.
double MeasureProductRate(const LlamaShape& shape, ProductType products);

// The operations of a training step that are counted for a token, whatever is computed again: four for each weight of
// the layers and of the output matrix, forward and back; no gradient of weights.
double CountedOperations(const LlamaShape& shape);

// Seconds of processor time that this process has used, all threads together.
double ProcessorSeconds();

}  // namespace fleetune
