#include <memory>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "base/status_macros.h"
#include "inference/gguf/llama_shape.h"
#include "lora/train/adapted_weights.h"
#include "lora/train/example_check.h"
#include "lora/train/joined_examples.h"
#include "lora/train/llama_graph.h"
#include "lora/train/token_loss.h"
#include "lora/train/torch_errors.h"
#include "lora/train/trainer.h"

namespace fleetune {
namespace {

constexpr size_t kMeasuredTokens = 4096;  // of a forward pass

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

absl::StatusOr<double> Measure(const GgufFile& model, std::span<const TokenExample> read, const Adapter* adapter,
                               ProductType products) {
  ASSIGN_OR_RETURN(const LlamaShape shape, ReadLlamaShape(model));
  RETURN_IF_ERROR(CheckExamples(read, shape, shape.context));
  std::vector<TokenExample> examples;
  for (const TokenExample& example : read) examples.push_back(ChosenOf(example));
  absl::StatusOr<Adapter> measured = adapter != nullptr ? *adapter : NoAdapter(shape);
  RETURN_IF_ERROR(measured.status());
  RETURN_IF_ERROR(CheckSpecFits(measured->spec(), shape));
  ASSIGN_OR_RETURN(const std::unique_ptr<AdaptedWeights> weights,
                   AdaptedWeights::Create(model, shape, *measured, {.trained = Factors::kB, .products = products}));
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
    const at::Tensor states = PredictorStates(shape, *weights, joined, shape.layers);
    sum += TokenLosses(states, joined->targets, weights->OutputMatrix()).sum().item<double>();
    begin = end;
  }
  return sum / static_cast<double>(predicted);
}

}  // namespace

absl::StatusOr<double> MeanLoss(const GgufFile& model, std::span<const TokenExample> examples, const Adapter* adapter,
                                ProductType products) {
  return WithoutExceptions([&] { return Measure(model, examples, adapter, products); });
}

}  // namespace fleetune
