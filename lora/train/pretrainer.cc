#include "lora/train/pretrainer.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "lora/train/example_check.h"
#include "lora/train/joined_examples.h"
#include "lora/train/libtorch.h"
#include "lora/train/llama_graph.h"
#include "lora/train/optimizer.h"
#include "lora/train/packing.h"
#include "lora/train/step_size.h"
#include "lora/train/torch_errors.h"

namespace fleetune {
namespace {

// All weights as parameters: one flat tensor, its gradient another, and leaves of the graph that are views of them.
class TrainedWeights final : public LlamaWeights {
 public:
  TrainedWeights(const LlamaShape& shape, uint64_t seed) : layers_(shape.layers), named_(InitialWeights(shape, seed)) {
    int64_t size = 0;
    for (const NamedWeight& weight : named_) size += static_cast<int64_t>(weight.values.size());
    parameters_ = at::empty({size}, at::kFloat);
    gradient_ = at::zeros({size}, at::kFloat);
    int64_t offset = 0;
    for (NamedWeight& weight : named_) {
      std::copy(weight.values.begin(), weight.values.end(), parameters_.data_ptr<float>() + offset);
      leaves_.push_back(Leaf(offset, weight));
      offset += static_cast<int64_t>(weight.values.size());
    }
    AssignLeaves();
  }

  std::span<float> Trained() { return {parameters_.data_ptr<float>(), static_cast<size_t>(parameters_.numel())}; }
  std::span<float> Gradient() { return {gradient_.data_ptr<float>(), static_cast<size_t>(gradient_.numel())}; }

  std::vector<TrainedMatrix> Matrices() const {
    std::vector<TrainedMatrix> matrices;
    uint64_t offset = 0;
    for (const NamedWeight& weight : named_) {
      matrices.push_back({.offset = offset,
                          .rows = static_cast<uint32_t>(weight.rows),
                          .columns = static_cast<uint32_t>(weight.columns)});
      offset += matrices.back().size();
    }
    return matrices;
  }

  std::vector<NamedWeight> Take() {
    const float* values = parameters_.data_ptr<float>();
    for (NamedWeight& weight : named_) {
      std::copy_n(values, weight.values.size(), weight.values.begin());
      values += weight.values.size();
    }
    return std::move(named_);
  }

  // Sum over rows of -ln softmax(hidden E^T)[target]: the output matrix is the embedding E.
  at::Tensor Loss(const at::Tensor& hidden, const at::Tensor& targets) const {
    return at::cross_entropy_loss(at::mm(hidden, embedding_.t()), targets, {}, at::Reduction::Sum);
  }

  at::Tensor Embed(const at::Tensor& tokens) const override { return at::embedding(embedding_, tokens); }
  at::ScalarType type() const override { return at::kFloat; }
  std::vector<at::Tensor> Linear(uint32_t layer, std::span<const Projection> projections, const at::Tensor& x,
                                 Results /*results*/) const override {
    std::vector<at::Tensor> results;
    for (const Projection projection : projections) {
      results.push_back(at::mm(x, layers_[layer].weights[static_cast<size_t>(projection)].t()));
    }
    return results;
  }
  at::Tensor AttentionNorm(uint32_t layer) const override { return layers_[layer].attention_norm; }
  at::Tensor FeedForwardNorm(uint32_t layer) const override { return layers_[layer].feed_forward_norm; }
  at::Tensor OutputNorm() const override { return output_norm_; }

 private:
  struct Layer {
    at::Tensor attention_norm, feed_forward_norm;
    std::array<at::Tensor, kNumProjections> weights;
  };

  at::Tensor Leaf(int64_t offset, const NamedWeight& weight) {
    const auto size = static_cast<int64_t>(weight.values.size());
    std::vector<int64_t> shape = {static_cast<int64_t>(weight.columns)};
    if (weight.rows > 1) shape.insert(shape.begin(), static_cast<int64_t>(weight.rows));
    at::Tensor leaf = parameters_.narrow(0, offset, size).view(shape).detach().requires_grad_(true);
    leaf.mutable_grad() = gradient_.narrow(0, offset, size).view(shape);
    return leaf;
  }

  // In the order of WeightShapes without biases.
  void AssignLeaves() {
    auto next = leaves_.begin();
    embedding_ = *next++;
    for (Layer& layer : layers_) {
      layer.attention_norm = *next++;
      for (const Projection projection : {Projection::kQ, Projection::kK, Projection::kV, Projection::kO}) {
        layer.weights[static_cast<size_t>(projection)] = *next++;
      }
      layer.feed_forward_norm = *next++;
      for (const Projection projection : {Projection::kGate, Projection::kUp, Projection::kDown}) {
        layer.weights[static_cast<size_t>(projection)] = *next++;
      }
    }
    output_norm_ = *next++;
    CHECK(next == leaves_.end());
  }

  std::vector<Layer> layers_;
  std::vector<NamedWeight> named_;
  std::vector<at::Tensor> leaves_;
  at::Tensor parameters_, gradient_, embedding_, output_norm_;
};

absl::StatusOr<std::vector<NamedWeight>> Pretrain(const LlamaShape& shape, std::span<const TokenExample> examples,
                                                  const TrainOptions& options,
                                                  absl::FunctionRef<bool(const TrainStep&)> on_step) {
  if (!shape.tied_output || shape.qkv_bias) {
    return absl::InvalidArgumentError("only models with a tied output matrix and without biases can be pretrained");
  }
  RETURN_IF_ERROR(Validate(options));
  RETURN_IF_ERROR(CheckExamples(examples, shape, options.sequence_length));
  if (std::ranges::any_of(examples, [](const TokenExample& example) { return example.rejected > 0; })) {
    return absl::InvalidArgumentError("a model is pretrained on texts, not on preferences");
  }
  TrainedWeights weights(shape, options.seed);
  StepPlanner planner(examples, options);
  Optimizer optimizer(options, weights.Matrices());
  const std::vector<double> frequencies = RotaryFrequencies(shape);
  uint64_t tokens = 0;
  for (uint32_t number = 1; number <= planner.steps(); ++number) {
    const std::vector<PackedRow> batches = planner.Next();
    uint64_t predicted = 0;
    for (const PackedRow& batch : batches) {
      for (const uint32_t index : batch) predicted += CountLearned(examples[index]);
    }
    std::fill(weights.Gradient().begin(), weights.Gradient().end(), 0.0f);
    TrainStep step{.step = number, .steps = planner.steps()};
    for (const PackedRow& batch : batches) {
      const auto joined = JoinExamples(examples, batch, frequencies);
      tokens += static_cast<uint64_t>(joined->tokens.numel());
      const at::Tensor states = PredictorStates(shape, weights, joined, shape.layers);
      const at::Tensor loss = weights.Loss(states, joined->targets) / static_cast<double>(predicted);
      torch::autograd::backward({loss}, {});
      step.loss += loss.item<double>();
    }
    step.tokens = tokens;
    step.gradient_norm = ClipByNorm(weights.Gradient(), options.clip_gradient_norm);
    if (!std::isfinite(step.loss) || !std::isfinite(step.gradient_norm)) {
      return absl::InternalError(absl::StrCat("training: step ", number,
                                              ": the loss is not finite; a lower learning "
                                              "rate may help"));
    }
    optimizer.Step(LearningRate(options, number, planner.steps()), weights.Gradient(), weights.Trained());
    if (!on_step(step)) break;
  }
  return weights.Take();
}

}  // namespace

absl::StatusOr<std::vector<NamedWeight>> PretrainModel(const LlamaShape& shape, std::span<const TokenExample> examples,
                                                       const TrainOptions& options,
                                                       absl::FunctionRef<bool(const TrainStep&)> on_step) {
  return WithoutExceptions([&] { return Pretrain(shape, examples, options, on_step); });
}

}  // namespace fleetune
