#include "lora/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "inference/gguf/llama_shape.h"
#include "lora/train/adamw.h"
#include "lora/train/adapted_weights.h"
#include "lora/train/example_check.h"
#include "lora/train/joined_examples.h"
#include "lora/train/llama_graph.h"
#include "lora/train/packing.h"
#include "lora/train/token_loss.h"
#include "lora/train/torch_errors.h"

// Debian's LibTorch multiplies f32 matrices through BLAS and does not tell it how many threads to use.
extern "C" void openblas_set_num_threads(int threads) __attribute__((weak));

namespace fleetune {
namespace {

constexpr size_t kMeasuredTokens = 4096;  // of a forward pass that only measures

// One training at work. Throws what LibTorch throws.
class Training {
 public:
  Training(const LlamaShape& shape, std::span<const TokenExample> examples, const TrainOptions& options,
           AdaptedWeights& weights)
      : shape_(shape),
        examples_(examples),
        options_(options),
        weights_(weights),
        frequencies_(RotaryFrequencies(shape)),
        planner_(examples, options),
        optimizer_(options, weights.Trained().size()) {}

  uint32_t steps() const { return planner_.steps(); }

  // The next optimizer step. Internal if its loss is not finite; the weights are as before then.
  absl::StatusOr<TrainStep> Step() {
    const std::vector<PackedRow> batches = planner_.Next();
    uint64_t predicted = 0;
    for (const PackedRow& batch : batches) {
      for (const uint32_t index : batch) predicted += CountLearned(examples_[index]);
    }
    const std::span<float> gradient = weights_.Gradient();
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    double loss = 0;
    for (const PackedRow& batch : batches) loss += AddGradient(batch, static_cast<double>(predicted));
    ++step_;
    const double norm = ClipByNorm(gradient, options_.clip_gradient_norm);
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      return absl::InternalError(absl::StrCat("training: step ", step_, " of ", steps(), ": loss ", loss,
                                              " and gradient norm ", norm, "; a lower learning rate may help"));
    }
    optimizer_.Step(LearningRate(options_, step_, steps()), gradient, weights_.Trained());
    return TrainStep{.step = step_, .steps = steps(), .loss = loss, .gradient_norm = norm, .tokens = tokens_};
  }

 private:
  // The micro-batch's part of the step's mean loss.
  double AddGradient(const PackedRow& batch, double predicted) {
    const auto joined = JoinExamples(examples_, batch, frequencies_);
    tokens_ += static_cast<uint64_t>(joined->tokens.numel());
    weights_.SetDropout(options_.dropout, SplitMix64(options_.seed ^ ++batches_).Next());
    const at::Tensor states =
        PredictorStates(shape_, weights_, joined, ChooseActivations(shape_, joined->tokens.numel()));
    const at::Tensor loss = TokenLoss(states, joined->targets, weights_.Output()) / predicted;
    torch::autograd::backward({loss}, {});
    return loss.item<double>();
  }

  const LlamaShape& shape_;
  const std::span<const TokenExample> examples_;
  const TrainOptions& options_;
  AdaptedWeights& weights_;
  const std::vector<double> frequencies_;
  StepPlanner planner_;
  AdamW optimizer_;
  uint32_t step_ = 0;
  uint64_t batches_ = 0;
  uint64_t tokens_ = 0;
};

absl::StatusOr<TrainResult> Train(const GgufFile& model, std::span<const TokenExample> examples,
                                  const Adapter& initial, const TrainOptions& options,
                                  absl::FunctionRef<bool(const TrainStep&)> on_step) {
  RETURN_IF_ERROR(Validate(options));
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(model));
  RETURN_IF_ERROR(CheckSpecFits(initial.spec(), shape));
  RETURN_IF_ERROR(CheckExamples(examples, shape, options.sequence_length));
  ASSIGN_OR_RETURN(const std::unique_ptr<AdaptedWeights> weights,
                   AdaptedWeights::Create(model, shape, initial, options.factors));
  Training training(shape, examples, options, *weights);
  TrainResult result{.adapter = initial};
  while (result.steps < training.steps()) {
    ASSIGN_OR_RETURN(const TrainStep step, training.Step());
    if (result.steps == 0) result.first_loss = step.loss;
    result.last_loss = step.loss;
    result.tokens = step.tokens;
    result.steps = step.step;
    if (!on_step(step)) break;
  }
  ASSIGN_OR_RETURN(result.adapter, weights->ToAdapter());
  return result;
}

// An adapter that changes nothing: what the base alone is measured with.
absl::StatusOr<Adapter> NoAdapter(const LlamaShape& shape) {
  BaseSizes sizes;
  sizes.layers = shape.layers;
  const uint32_t query = shape.heads * shape.head_size;
  sizes.projections[static_cast<size_t>(Projection::kQ)] = {shape.width, query};
  ASSIGN_OR_RETURN(AdapterSpec spec, AdapterSpec::Create({.rank = 1, .alpha = 1, .targets = {Projection::kQ}}, sizes));
  std::vector<float> a(spec.a_size(), 0.0f), b(spec.b_size(), 0.0f);
  return Adapter::Create(std::move(spec), std::move(a), std::move(b));
}

absl::StatusOr<double> Measure(const GgufFile& model, std::span<const TokenExample> examples,
                               const Adapter* adapter) {
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(model));
  RETURN_IF_ERROR(CheckExamples(examples, shape, shape.context));
  absl::StatusOr<Adapter> measured = adapter != nullptr ? *adapter : NoAdapter(shape);
  RETURN_IF_ERROR(measured.status());
  RETURN_IF_ERROR(CheckSpecFits(measured->spec(), shape));
  ASSIGN_OR_RETURN(const std::unique_ptr<AdaptedWeights> weights,
                   AdaptedWeights::Create(model, shape, *measured, Factors::kB));
  const at::NoGradGuard no_gradients;
  const std::vector<double> frequencies = RotaryFrequencies(shape);
  double sum = 0;
  uint64_t predicted = 0;
  std::vector<uint32_t> order(examples.size());
  std::iota(order.begin(), order.end(), 0u);
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin;
    for (size_t tokens = 0; end < order.size() && tokens < kMeasuredTokens; ++end) {
      tokens += examples[end].tokens.size();
      predicted += CountLearned(examples[end]);
    }
    const auto joined = JoinExamples(examples, std::span(order).subspan(begin, end - begin), frequencies);
    const at::Tensor states = PredictorStates(shape, *weights, joined, Activations::kKeep);
    sum += TokenLoss(states, joined->targets, weights->Output()).item<double>();
    begin = end;
  }
  return sum / static_cast<double>(predicted);
}

}  // namespace

absl::StatusOr<TrainResult> TrainAdapter(const GgufFile& model, std::span<const TokenExample> examples,
                                         const Adapter& initial, const TrainOptions& options,
                                         absl::FunctionRef<bool(const TrainStep&)> on_step) {
  return WithoutExceptions([&] { return Train(model, examples, initial, options, on_step); });
}

absl::StatusOr<double> MeanLoss(const GgufFile& model, std::span<const TokenExample> examples,
                                const Adapter* adapter) {
  return WithoutExceptions([&] { return Measure(model, examples, adapter); });
}

void SetTrainingThreads(uint32_t threads) {
  const auto count = static_cast<int>(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency()));
  at::set_num_threads(count);
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(count);
}

}  // namespace fleetune
