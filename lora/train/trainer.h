#pragma once

#include <cstdint>
#include <span>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "lora/adapter/adapter.h"
#include "lora/plan/training_plan.h"
#include "lora/examples/token_example.h"

namespace fleetune {

struct TrainStep {
  uint32_t step = 0;   // from 1
  uint32_t steps = 0;  // in all
  double loss = 0;     // mean over the step's predicted tokens, before its update
  double gradient_norm = 0;  // before clipping
  uint64_t tokens = 0;       // read so far, prompts included
};

struct TrainResult {
  Adapter adapter;
  double first_loss = 0;
  double last_loss = 0;
  uint64_t tokens = 0;
  uint32_t steps = 0;  // done; fewer than planned if it was stopped
};

// Trains a copy of `initial` over the frozen base weights of `model`, which stay quantized and mapped.
// Seeded and reproducible: the same input gives the same adapter on the same machine and thread count.
//
// `on_step` is called after each optimizer step; false stops, and what was learned so far comes back.
// InvalidArgument (options, no token to learn, an example longer than a sequence or with a token that the model does
// not know, a sequence longer than the model's context, a spec that does not fit the model), ResourceExhausted
// (LibTorch could not allocate), Internal (LibTorch's message; a loss that is not finite names its step).
absl::StatusOr<TrainResult> TrainAdapter(const GgufFile& model, std::span<const TokenExample> examples,
                                         const Adapter& initial, const TrainOptions& options,
                                         absl::FunctionRef<bool(const TrainStep&)> on_step);

// The mean loss over all tokens of `examples` that count, in nats, without learning. `adapter` may be null: the base
// alone. Errors as above; sequences may be as long as the model's context.
absl::StatusOr<double> MeanLoss(const GgufFile& model, std::span<const TokenExample> examples,
                                const Adapter* adapter);

// How many cores trainings of this process use, from now on; 0: all. LibTorch's own setting, and its matrix library's,
// so call it before the first training and from no two threads at once.
void SetTrainingThreads(uint32_t threads);

}  // namespace fleetune
