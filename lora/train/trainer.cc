#include "lora/train/trainer.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/random.h"
#include "base/status_macros.h"
#include "inference/gguf/llama_shape.h"
#include "lora/train/adapted_weights.h"
#include "lora/train/early_stop.h"
#include "lora/train/example_check.h"
#include "lora/train/gradient_terms.h"
#include "lora/train/held_out_loss.h"
#include "lora/train/joined_examples.h"
#include "lora/train/llama_graph.h"
#include "lora/train/optimizer.h"
#include "lora/train/packing.h"
#include "lora/train/preference_loss.h"
#include "lora/train/step_size.h"
#include "lora/train/token_loss.h"
#include "lora/train/torch_errors.h"
#include "lora/train/trained_matrix.h"
#include "lora/train/training_name.h"

// Debian's LibTorch multiplies f32 matrices through BLAS and does not tell it how many threads to use.
extern "C" void openblas_set_num_threads(int threads) __attribute__((weak));

namespace fleetune {
namespace {

// Throws what LibTorch throws.
class Training final : public AdapterTrainer {
 public:
  struct Parts {
    LlamaShape shape;
    std::span<const TokenExample> examples;
    TrainOptions options;
    TrainerLayout layout;
    std::unique_ptr<AdaptedWeights> weights;
    std::vector<TrainedMatrix> matrices;
    std::vector<AnswerLogs> reference;  // of each example
    HeldOutExamples held_out;
    Digest name;
  };

  explicit Training(Parts parts)
      : parts_(std::move(parts)),
        frequencies_(RotaryFrequencies(parts_.shape)),
        planner_(std::make_unique<StepPlanner>(parts_.examples, parts_.options, parts_.layout.rows)),
        terms_(parts_.options, parts_.weights->Trained()),
        optimizer_(parts_.options, std::move(parts_.matrices)),
        early_stop_(parts_.options.patience) {
    if (parts_.held_out.examples.empty()) return;
    held_out_before_ = MeasureHeldOut();
    held_out_loss_ = held_out_before_;
  }

  bool done() const override { return step_ == planner_->steps() || early_stop_.stopped(); }
  const TrainerLayout& layout() const override { return parts_.layout; }

  absl::StatusOr<TrainStep> Step() override {
    CHECK(!done());
    return WithoutExceptions([&] { return NextStep(); });
  }

  void AskBeforePass(std::function<bool()> go_on) override { go_on_ = std::move(go_on); }

  absl::StatusOr<TrainResult> Result() const override {
    ASSIGN_OR_RETURN(Adapter adapter, parts_.weights->ToAdapter());
    return TrainResult{.adapter = std::move(adapter),
                       .first_loss = first_loss_,
                       .last_loss = last_loss_,
                       .tokens = read_.tokens,
                       .steps = step_,
                       .mean_gradient = terms_.MeanGradient(),
                       .preferences = last_preferences_,
                       .held_out_before = IfMeasured(held_out_before_),
                       .held_out_after = done() ? IfMeasured(held_out_loss_) : std::nullopt,
                       .best_step = done() && EndsWithBest() ? early_stop_.state().best_step : step_};
  }

  uint32_t steps_done() const override { return step_; }
  uint64_t tokens_read() const override { return read_.tokens; }

  absl::Status CorrectGradient(std::vector<float> correction) override {
    if (step_ > 0) return absl::FailedPreconditionError("a gradient is corrected from the first step on");
    return terms_.SetCorrection(std::move(correction));
  }

  Bytes Checkpoint() const override {
    return EncodeTrainingState({.training = parts_.name,
                                .correction = terms_.correction(),
                                .rows_a_pass = parts_.layout.rows,
                                .step = step_,
                                .passes = read_.number,
                                .tokens = read_.tokens,
                                .first_loss = first_loss_,
                                .last_loss = last_loss_,
                                .last_preferences = last_preferences_,
                                .held_out_loss = held_out_loss_},
                               {parts_.weights->Trained(), optimizer_.state(), terms_.sum(), &early_stop_.state()});
  }

  absl::Status GoOnFrom(TrainingState state) override {
    const std::span<float> trained = parts_.weights->Trained();
    const TrainingPosition& position = state.position;
    if (position.training != parts_.name || state.trained.size() != trained.size() ||
        state.optimizer.size() != optimizer_.state().size() || state.gradients.size() != terms_.sum().size() ||
        state.early_stop.best.size() != early_stop_.state().best.size()) {
      return absl::FailedPreconditionError(
          "the checkpoint is of a training with another model, start, option, example or type of products");
    }
    if (position.correction != terms_.correction()) {
      return absl::FailedPreconditionError("the checkpoint is of a training with another correction of the gradients");
    }
    auto planner = std::make_unique<StepPlanner>(parts_.examples, parts_.options, position.rows_a_pass);
    if (position.step > planner->steps()) {
      return absl::FailedPreconditionError(
          absl::StrCat("the checkpoint is after step ", position.step, " of ", planner->steps()));
    }
    for (uint32_t step = 0; step < position.step; ++step) planner->Next();
    planner_ = std::move(planner);
    at_hand_.clear();
    std::copy(state.trained.begin(), state.trained.end(), trained.begin());
    RETURN_IF_ERROR(WithoutExceptions([&] {
      parts_.weights->TrainedChanged();
      return absl::OkStatus();
    }));
    optimizer_.GoOnFrom(position.step, std::move(state.optimizer));
    terms_.GoOnFrom(position.step, std::move(state.gradients));
    parts_.layout.rows = position.rows_a_pass;
    step_ = position.step;
    read_ = {.number = position.passes, .tokens = position.tokens};
    first_loss_ = position.first_loss;
    last_loss_ = position.last_loss;
    last_preferences_ = position.last_preferences;
    held_out_loss_ = position.held_out_loss;
    early_stop_.GoOnFrom(std::move(state.early_stop));
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<TrainStep> NextStep() {
    if (at_hand_.empty()) at_hand_ = planner_->Next();
    StepSize size;
    for (const PackedRow& pass : at_hand_) {
      for (const uint32_t index : pass) {
        size.tokens += static_cast<double>(CountLearned(parts_.examples[index]));
        size.preferences += parts_.examples[index].rejected > 0 ? 1 : 0;
      }
    }
    const std::span<float> gradient = parts_.weights->Gradient();
    std::fill(gradient.begin(), gradient.end(), 0.0f);
    double loss = 0;
    PreferenceFigures preferences;
    Passes read = read_;
    for (const PackedRow& pass : at_hand_) {
      if (go_on_ && !go_on_()) return absl::CancelledError(absl::StrCat("step ", step_ + 1, " was ended"));
      loss += AddGradient(pass, size, read, preferences);
    }
    at_hand_.clear();
    read_ = read;
    terms_.AddTo(gradient, parts_.weights->Trained());
    ++step_;
    const double norm = ClipByNorm(gradient, parts_.options.clip_gradient_norm);
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      return absl::InternalError(absl::StrCat("training: step ", step_, " of ", planner_->steps(), ": loss ", loss,
                                              " and gradient norm ", norm, "; a lower learning rate may help"));
    }
    const double rate = LearningRate(parts_.options, step_, planner_->steps());
    optimizer_.Step(rate, gradient, parts_.weights->Trained());
    parts_.weights->TrainedChanged();
    if (step_ == 1) first_loss_ = loss;
    last_loss_ = loss;
    last_preferences_ = preferences;
    const std::optional<double> held_out_loss = MeasureIfDue();
    if (held_out_loss.has_value() && !std::isfinite(*held_out_loss)) {
      return absl::InternalError(absl::StrCat("training: after step ", step_, " the held-out loss is ", *held_out_loss,
                                              "; a lower learning rate may help"));
    }
    return TrainStep{.step = step_,
                     .steps = planner_->steps(),
                     .loss = loss,
                     .gradient_norm = norm,
                     .learning_rate = rate,
                     .tokens = read_.tokens,
                     .preferences = preferences,
                     .held_out_loss = held_out_loss};
  }

  std::optional<double> IfMeasured(double loss) const {
    return parts_.held_out.examples.empty() ? std::nullopt : std::optional(loss);
  }

  double MeasureHeldOut() {
    const double loss = HeldOutLoss(parts_.shape, *parts_.weights, parts_.held_out, frequencies_, parts_.options);
    early_stop_.Add(step_, loss, parts_.weights->Trained());
    return loss;
  }

  // After a step: what it measured, if it is time. A training that ends goes back to the best.
  std::optional<double> MeasureIfDue() {
    const bool due = early_stop_.on() && step_ % parts_.options.evaluate_every == 0;
    if (parts_.held_out.examples.empty() || (!due && step_ < planner_->steps())) return std::nullopt;
    const double loss = held_out_loss_ = MeasureHeldOut();
    if (done() && EndsWithBest()) {
      const EarlyStop::State& best = early_stop_.state();
      std::copy(best.best.begin(), best.best.end(), parts_.weights->Trained().begin());
      parts_.weights->TrainedChanged();
      held_out_loss_ = best.best_loss;
    }
    return loss;
  }
  bool EndsWithBest() const { return !early_stop_.state().best.empty(); }

  struct Passes {
    uint64_t number = 0;
    uint64_t tokens = 0;
  };
  // What the losses of a step are means over.
  struct StepSize {
    double tokens = 0;
    double preferences = 0;
  };

  // The pass's part of the step's loss.
  double AddGradient(const PackedRow& pass, const StepSize& size, Passes& read, PreferenceFigures& preferences) {
    const auto joined = JoinExamples(parts_.examples, pass, frequencies_);
    read.tokens += static_cast<uint64_t>(joined->tokens.numel());
    parts_.weights->SetDropout(parts_.options.dropout, SplitMix64(parts_.options.seed ^ ++read.number).Next());
    const at::Tensor states = PredictorStates(parts_.shape, *parts_.weights, joined, parts_.layout.kept_layers);
    const PassLoss sums = SumLosses(TokenLosses(states, joined->targets, parts_.weights->OutputMatrix()), *joined,
                                    parts_.reference, parts_.options.dpo_beta);
    preferences.Add(sums.figures);
    at::Tensor loss = sums.text / std::max(1.0, size.tokens);
    if (size.preferences > 0) loss = loss + sums.preferences / size.preferences;
    torch::autograd::backward({loss}, {});
    return loss.item<double>();
  }

  Parts parts_;
  const std::vector<double> frequencies_;
  std::unique_ptr<StepPlanner> planner_;
  GradientTerms terms_;
  Optimizer optimizer_;
  uint32_t step_ = 0;
  Passes read_;                     // of the steps done
  std::vector<PackedRow> at_hand_;  // of a step that was begun; empty: none
  std::function<bool()> go_on_;
  double first_loss_ = 0;
  double last_loss_ = 0;
  PreferenceFigures last_preferences_;
  EarlyStop early_stop_;
  double held_out_before_ = 0;  // 0: there is no held-out example, as for held_out_loss_
  double held_out_loss_ = 0;    // as last measured
};

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

void SetTrainingThreads(uint32_t threads) {
  const auto count = static_cast<int>(threads > 0 ? threads : std::max(1u, std::thread::hardware_concurrency()));
  at::set_num_threads(count);
  if (openblas_set_num_threads != nullptr) openblas_set_num_threads(count);
}

}  // namespace fleetune
