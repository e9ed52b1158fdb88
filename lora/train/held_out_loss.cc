#include "lora/train/held_out_loss.h"

#include <numeric>

#include "base/check.h"
#include "lora/train/example_check.h"
#include "lora/train/llama_graph.h"
#include "lora/train/packing.h"
#include "lora/train/token_loss.h"

namespace fleetune {

double HeldOutLoss(const LlamaShape& shape, AdaptedWeights& weights, const HeldOutExamples& held_out,
                   std::span<const double> frequencies, const TrainOptions& options) {
  CHECK(!held_out.examples.empty());
  const at::NoGradGuard no_gradients;
  weights.SetDropout(0, 0);
  std::vector<uint32_t> order(held_out.examples.size());
  std::iota(order.begin(), order.end(), 0u);
  double text = 0, preferences = 0;
  uint64_t tokens = 0, pairs = 0;
  for (const TokenExample& example : held_out.examples) tokens += CountLearned(example);
  for (const PackedRow& row : PackExamples(held_out.examples, order, options.sequence_length)) {
    const auto joined = JoinExamples(held_out.examples, row, frequencies);
    const at::Tensor states = PredictorStates(shape, weights, joined, shape.layers);
    const PassLoss sums = SumLosses(TokenLosses(states, joined->targets, weights.OutputMatrix()), *joined,
                                    held_out.reference, options.dpo_beta);
    text += sums.text.item<double>();
    preferences += sums.preferences.item<double>();
    pairs += sums.figures.pairs;
  }
  return (tokens > 0 ? text / static_cast<double>(tokens) : 0.0) +
         (pairs > 0 ? preferences / static_cast<double>(pairs) : 0.0);
}

}  // namespace fleetune
