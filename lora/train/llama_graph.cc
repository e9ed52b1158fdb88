#include "lora/train/llama_graph.h"

#include <utility>

#include "lora/train/layer_functions.h"
#include "lora/train/rotary_attention.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;
using Results = LlamaWeights::Results;

// One block of the model over one micro-batch.
struct Layer : torch::CustomClassHolder {
  LlamaShape shape;
  const LlamaWeights* weights = nullptr;
  std::shared_ptr<const JoinedExamples> examples;
  uint32_t index = 0;

  // What the layer's result is the sum of: f32, and what the last product gives.
  struct Sum {
    at::Tensor stream;
    at::Tensor last;
  };

  Sum Parts(const at::Tensor& x, Results last) const {
    const at::Tensor input = x.to(at::kFloat);
    const std::vector<at::Tensor> qkv =
        Linear({Projection::kQ, Projection::kK, Projection::kV}, Normed(input, weights->AttentionNorm(index)));
    const at::Tensor attended = RotaryAttention(qkv[0], qkv[1], qkv[2], shape, examples);
    const at::Tensor stream = input + Linear({Projection::kO}, attended)[0];
    const std::vector<at::Tensor> hidden =
        Linear({Projection::kGate, Projection::kUp}, Normed(stream, weights->FeedForwardNorm(index)));
    return {stream, Linear({Projection::kDown}, SwiGluRows(hidden[0], hidden[1]), last)[0]};
  }

  at::Tensor Run(const at::Tensor& x) const {
    const Sum sum = Parts(x, Results::kUsed);
    return (sum.stream + sum.last).to(weights->type());
  }

 private:
  at::Tensor Normed(const at::Tensor& x, const at::Tensor& weight) const {
    return RmsNormRows(x, weight, static_cast<double>(shape.norm_epsilon), weights->type());
  }
  std::vector<at::Tensor> Linear(std::initializer_list<Projection> projections, const at::Tensor& x,
                                 Results results = Results::kUsed) const {
    return weights->Linear(index, {projections.begin(), projections.size()}, x, results);
  }
};

// Recomputation (Chen et al. 2016): the layer's parameters get their gradients from a backward pass of its own,
// inside the outer one. Its last product is not computed again: the result is known to nobody there.
class RecomputedLayer : public torch::autograd::Function<RecomputedLayer> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const c10::intrusive_ptr<Layer>& layer) {
    ctx->save_for_backward({x});
    ctx->saved_data["layer"] = c10::IValue::make_capsule(layer);
    return layer->Run(x);  // gradients are off here: nothing else is saved
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const at::Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(true);
    const auto holder = ctx->saved_data["layer"].toCapsule();
    const at::AutoGradMode with_gradients(true);
    const Layer::Sum sum = static_cast<const Layer&>(*holder).Parts(x, Results::kOnlyTheirGradients);
    torch::autograd::backward({sum.stream, sum.last}, {gradients[0].to(at::kFloat), gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

at::Tensor PredictorStates(const LlamaShape& shape, const LlamaWeights& weights,
                           const std::shared_ptr<const JoinedExamples>& examples, uint32_t kept_layers) {
  at::Tensor x = weights.Embed(examples->tokens);
  // A function whose inputs need no gradient is not called on the way back; the first layer's adapter needs that.
  if (at::GradMode::is_enabled() && !x.requires_grad()) x.requires_grad_(true);
  for (uint32_t index = 0; index < shape.layers; ++index) {
    auto layer = c10::make_intrusive<Layer>();
    layer->shape = shape;
    layer->weights = &weights;
    layer->examples = examples;
    layer->index = index;
    const bool recompute = at::GradMode::is_enabled() && index + kept_layers < shape.layers;
    x = recompute ? RecomputedLayer::apply(x, layer) : layer->Run(x);
  }
  return RmsNormRows(x.index_select(0, examples->predictors).to(at::kFloat), weights.OutputNorm(),
                     static_cast<double>(shape.norm_epsilon), weights.type());
}

}  // namespace fleetune
