#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "inference/gguf/llama_shape.h"
#include "lora/plan/training_plan.h"
#include "lora/examples/token_example.h"
#include "lora/train/trainer.h"

namespace fleetune {

// A weight of a model, named as in a GGUF file, rows of f32. A norm or bias is one row.
struct NamedWeight {
  std::string name;
  uint64_t rows = 0;
  uint64_t columns = 0;
  std::vector<float> values;
};

// The tensors of a model of `shape` in the order of its file, with random values from `seed`: norms one, biases zero,
// matrices normal with deviation 1 / sqrt(columns), those that add to the residual stream smaller by sqrt(2 layers).
// The same seed gives the same values on every machine. Pure.
std::vector<NamedWeight> InitialWeights(const LlamaShape& shape, uint64_t seed);

// Names, rows and columns alone.
std::vector<NamedWeight> WeightShapes(const LlamaShape& shape);

// Trains all weights of a small model from InitialWeights(shape, options.seed), in f32; no dropout. The same result for
// the same input on the same machine with one thread. Errors and `on_step` as of TrainAdapter; requires a
// tied output matrix and no biases (InvalidArgument).
absl::StatusOr<std::vector<NamedWeight>> PretrainModel(const LlamaShape& shape,
                                                       std::span<const TokenExample> examples,
                                                       const TrainOptions& options,
                                                       absl::FunctionRef<bool(const TrainStep&)> on_step);

}  // namespace fleetune
