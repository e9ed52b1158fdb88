#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "inference/gguf/gguf_file.h"
#include "lora/adapter/adapter.h"
#include "lora/examples/token_example.h"
#include "lora/plan/training_memory.h"
#include "lora/plan/training_plan.h"
#include "lora/train/preference_figures.h"
#include "lora/train/training_state.h"

namespace fleetune {

struct TrainStep {
  uint32_t step = 0;         // from 1
  uint32_t steps = 0;        // in all
  double loss = 0;           // mean over the step's predicted tokens, plus that over its preferences, before its update
  double gradient_norm = 0;  // before clipping
  double learning_rate = 0;
  uint64_t tokens = 0;  // read so far, prompts included
  PreferenceFigures preferences = {};  // of the step, before its update
  std::optional<double> held_out_loss = {};  // after its update, if it was measured then
};

struct TrainResult {
  Adapter adapter;
  double first_loss = 0;
  double last_loss = 0;
  uint64_t tokens = 0;
  uint32_t steps = 0;  // done; fewer than planned if it was stopped
  std::vector<float> mean_gradient = {};  // of options.control_variates: GradientTerms::MeanGradient
  PreferenceFigures preferences = {};  // of the last step
  std::optional<double> held_out_before = {};  // loss over held-out examples, if there are any
  std::optional<double> held_out_after = {};   // of `adapter`; not of a training that was stopped by others
  uint32_t best_step = 0;                      // after which `adapter` was as it is: with patience maybe not the last
};

// How this machine is to be used. Nothing here changes what is learned by more than rounding.
struct TrainMachine {
  ProductType products = ProductType::kFloat32;  // FastestProductType() is what the machine is best at
  uint64_t memory_bytes = kRoomyTraining;  // of the process, the mapped model included; the least is used if it is less

  // Enough for a model of a few hundred megabytes in comfort.
  static constexpr uint64_t kRoomyTraining = uint64_t{2} << 30;
};

// What training over `model` costs. Errors of ReadLlamaShape.
absl::StatusOr<ModelFootprint> FootprintOf(const GgufFile& model);

// One training of a copy of an adapter over the frozen base weights of a model, which stay quantized and mapped. Seeded
// and reproducible: the same input gives the same adapter on the same machine with the same number of threads, also if
// it is stopped after any step and another AdapterTrainer goes on from its state. Not thread-safe.
//
// Preferences are learned by comparison (preference_loss.h) with the adapter that a training starts from, which is
// measured once, at the start. Where there are others beside them, both mean losses are added up: a device's records are
// what its user wrote and judged, and neither kind should keep the other from being learned.
class AdapterTrainer {
 public:
  // Borrows `model`, `examples` and `held_out`, which are only measured: before, after, and with patience on the way,
  // to end with the best. InvalidArgument (options, no token to learn, an example longer than a sequence or
  // with a token that the model does not know, a sequence longer than the model's context, a spec that does not fit the
  // model, a row that DoRA would divide by the zero norm of, some ranks of DoRA), ResourceExhausted (LibTorch could not allocate), Internal (LibTorch's message).
  static absl::StatusOr<std::unique_ptr<AdapterTrainer>> Create(const GgufFile& model,
                                                                std::span<const TokenExample> examples,
                                                                const Adapter& initial, const TrainOptions& options,
                                                                const TrainMachine& machine,
                                                                std::span<const TokenExample> held_out = {});
  virtual ~AdapterTrainer() = default;

  virtual bool done() const = 0;
  virtual const TrainerLayout& layout() const = 0;

  // The next optimizer step. Requires that it is not done; checked. ResourceExhausted and Internal as above; Internal
  // naming the step if its loss is not finite: the weights are as before then.
  virtual absl::StatusOr<TrainStep> Step() = 0;

  // `go_on` is asked before each forward pass of a step, from now on. What it takes is a pause. False ends the step at
  // hand: Step() is Cancelled, all is as before the step, and the next Step() begins it anew. Checkpoint() may be called
  // in it, and gives the state before the step at hand.
  virtual void AskBeforePass(std::function<bool()> go_on) = 0;

  // After a step, or at the start.
  virtual absl::StatusOr<TrainResult> Result() const = 0;
  virtual uint32_t steps_done() const = 0;
  virtual uint64_t tokens_read() const = 0;

  // What a training with options.control_variates adds to its gradients (lora/plan/control_variates.h); without this
  // call nothing. Also before GoOnFrom, which compares it. FailedPrecondition after the first step or without that
  // option; InvalidArgument for another number of values than are trained.
  virtual absl::Status CorrectGradient(std::vector<float> correction) = 0;

  // A checkpoint to be written with WriteFileAtomic: what another process needs to go on (training_state.h). Takes
  // memory for three floats a trained parameter, or four with control variates, between two passes, when there are no
  // activations.
  virtual Bytes Checkpoint() const = 0;

  // Goes on where a checkpoint was taken. FailedPrecondition if it was taken from a training that differs in anything
  // that changes what is learned, the correction of its gradients included.
  virtual absl::Status GoOnFrom(TrainingState state) = 0;
};

// All of it in one call. `on_step` is called after each optimizer step; false stops, and what was learned so far
// comes back. Errors as above.
absl::StatusOr<TrainResult> TrainAdapter(const GgufFile& model, std::span<const TokenExample> examples,
                                         const Adapter& initial, const TrainOptions& options,
                                         const TrainMachine& machine,
                                         absl::FunctionRef<bool(const TrainStep&)> on_step);

// The mean loss over all tokens of `examples` that count, in nats, without learning. `adapter` may be null: the base
// alone. Of a preference, the chosen answer. Errors as above; sequences may be as long as the model's context.
absl::StatusOr<double> MeanLoss(const GgufFile& model, std::span<const TokenExample> examples, const Adapter* adapter,
                                ProductType products = ProductType::kFloat32);

}  // namespace fleetune
