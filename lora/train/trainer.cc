#include "lora/train/trainer.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "base/status_macros.h"
#include "inference/gguf/llama_shape.h"
#include "lora/train/adapted_weights.h"
#include "lora/train/example_check.h"
#include "lora/train/joined_examples.h"
#include "lora/train/preference_loss.h"
#include "lora/train/torch_errors.h"
#include "lora/train/trained_matrix.h"
#include "lora/train/training.h"
#include "lora/train/training_name.h"

namespace fleetune {
namespace {

absl::StatusOr<std::unique_ptr<AdapterTrainer>> CreateTraining(const GgufFile& model,
                                                               std::span<const TokenExample> examples,
                                                               std::span<const TokenExample> held_out,
                                                               const Adapter& initial, const TrainOptions& options,
                                                               const TrainMachine& machine) {
  RETURN_IF_ERROR(Validate(options));
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(model));
  RETURN_IF_ERROR(CheckSpecFits(initial.spec(), shape));
  RETURN_IF_ERROR(CheckExamples(examples, shape, options.sequence_length));
  if (!held_out.empty()) RETURN_IF_ERROR(CheckExamples(held_out, shape, options.sequence_length));
  ASSIGN_OR_RETURN(const ModelFootprint footprint, FootprintOf(model));
  ASSIGN_OR_RETURN(
      std::unique_ptr<AdaptedWeights> weights,
      AdaptedWeights::Create(model, shape, initial,
                             {.trained = options.factors, .ranks = options.ranks, .products = machine.products}));
  const auto measure_answers = [&](std::span<const TokenExample> of) {
    return MeasureAnswers(shape, *weights, of, RotaryFrequencies(shape), options.sequence_length);
  };
  std::vector<AnswerLogs> reference = measure_answers(examples);
  std::vector<AnswerLogs> held_out_reference = measure_answers(held_out);
  return std::make_unique<Training>(
      Training::Parts{.shape = shape,
                      .examples = examples,
                      .options = options,
                      .layout = ChooseLayout(footprint, AdapterOf(initial.spec(), options.factors, options.ranks),
                                             options, machine.products, machine.memory_bytes),
                      .weights = std::move(weights),
                      .matrices = TrainedMatrices(initial.spec(), options),
                      .reference = std::move(reference),
                      .held_out = {.examples = held_out, .reference = std::move(held_out_reference)},
                      .name = NameTraining(model, examples, held_out, initial, options, machine.products)});
}

}  // namespace

absl::StatusOr<ModelFootprint> FootprintOf(const GgufFile& model) {
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(model));
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : model.tensors()) bytes += tensor.data.size();
  return ModelFootprint{.file_bytes = bytes,
                        .sizes = SizesOfBase(shape),
                        .vocabulary = shape.vocabulary,
                        .heads = shape.heads,
                        .context = shape.context};
}

absl::StatusOr<std::unique_ptr<AdapterTrainer>> AdapterTrainer::Create(const GgufFile& model,
                                                                       std::span<const TokenExample> examples,
                                                                       const Adapter& initial,
                                                                       const TrainOptions& options,
                                                                       const TrainMachine& machine,
                                                                       std::span<const TokenExample> held_out) {
  return WithoutExceptions([&] { return CreateTraining(model, examples, held_out, initial, options, machine); });
}

absl::StatusOr<TrainResult> TrainAdapter(const GgufFile& model, std::span<const TokenExample> examples,
                                         const Adapter& initial, const TrainOptions& options,
                                         const TrainMachine& machine,
                                         absl::FunctionRef<bool(const TrainStep&)> on_step) {
  ASSIGN_OR_RETURN(const std::unique_ptr<AdapterTrainer> trainer,
                   AdapterTrainer::Create(model, examples, initial, options, machine));
  while (!trainer->done()) {
    ASSIGN_OR_RETURN(const TrainStep step, trainer->Step());
    if (!on_step(step)) break;
  }
  return trainer->Result();
}

}  // namespace fleetune
