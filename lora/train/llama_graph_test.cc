#include "lora/train/llama_graph.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "lora/train/adapted_weights.h"
#include "lora/train/libtorch.h"
#include "lora/train/token_loss.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

struct LossAndGradient {
  double loss = 0;
  std::vector<float> gradient;
};

// Of one micro-batch of random examples, with dropout.
LossAndGradient Compute(const GgufFile& model, ProductType products, uint32_t kept_layers) {
  const LlamaShape shape = *ReadLlamaShape(model);
  const Adapter adapter = AdapterWithB(model);
  const auto weights =
      *AdaptedWeights::Create(model, shape, adapter, {.trained = Factors::kBoth, .products = products});
  weights->SetDropout(0.1, 5);
  const std::vector<TokenExample> examples = RandomExamples(5, 24, 256);
  std::vector<uint32_t> indices(examples.size());
  std::iota(indices.begin(), indices.end(), 0u);
  const auto joined = JoinExamples(examples, indices, RotaryFrequencies(shape));
  const at::Tensor states = PredictorStates(shape, *weights, joined, kept_layers);
  const at::Tensor loss = TokenLosses(states, joined->targets, weights->OutputMatrix()).sum();
  torch::autograd::backward({loss}, {});
  const std::span<const float> gradient = weights->Gradient();
  return {.loss = loss.item<double>(), .gradient = {gradient.begin(), gradient.end()}};
}

// Recomputing a layer is the same arithmetic once more, the same inputs dropped: the same bits.
TEST(PredictorStatesTest, RecomputedLayersGiveTheSameGradients) {
  for (const char* name : {"stories260K-q8_0", "synthetic-qwen2-f32"}) {
    const auto model = *OpenTestModel(name);
    for (const ProductType products : {ProductType::kFloat32, ProductType::kBfloat16, ProductType::kInt8}) {
      const LossAndGradient kept = Compute(*model, products, 5);
      for (const uint32_t layers : {0u, 2u}) {
        const LossAndGradient recomputed = Compute(*model, products, layers);
        EXPECT_EQ(kept.loss, recomputed.loss) << name;
        EXPECT_EQ(kept.gradient, recomputed.gradient) << name;
      }
      EXPECT_NE(kept.gradient, std::vector<float>(kept.gradient.size(), 0.0f));
    }
  }
}

}  // namespace
}  // namespace fleetune
