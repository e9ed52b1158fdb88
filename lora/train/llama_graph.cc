#include "lora/train/llama_graph.h"

#include <utility>

#include "lora/train/layer_functions.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

constexpr int64_t kKeptBytes = int64_t{300} << 20;

// One block of the model over one micro-batch.
struct Layer : torch::CustomClassHolder {
  LlamaShape shape;
  const LlamaWeights* weights = nullptr;
  std::shared_ptr<const JoinedExamples> examples;
  uint32_t index = 0;

  at::Tensor Run(const at::Tensor& x) const {
    const at::Tensor seen = RmsNormRows(x, weights->AttentionNorm(index), shape.norm_epsilon);
    const at::Tensor attended =
        RotaryAttention(Linear(Projection::kQ, seen), Linear(Projection::kK, seen), Linear(Projection::kV, seen),
                        shape, examples);
    const at::Tensor middle = x + Linear(Projection::kO, attended);
    const at::Tensor normed = RmsNormRows(middle, weights->FeedForwardNorm(index), shape.norm_epsilon);
    const at::Tensor h = SwiGluRows(Linear(Projection::kGate, normed), Linear(Projection::kUp, normed));
    return middle + Linear(Projection::kDown, h);
  }

 private:
  at::Tensor Linear(Projection projection, const at::Tensor& x) const {
    return weights->Linear(index, projection, x);
  }
};

// Recomputation (Chen et al. 2016): the layer's parameters get their gradients from a backward pass of its own,
// inside the outer one.
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
    const at::Tensor y = static_cast<const Layer&>(*holder).Run(x);
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), at::Tensor()};
  }
};

}  // namespace

Activations ChooseActivations(const LlamaShape& shape, int64_t tokens) {
  // Of a token and layer: both norms' in- and output, q, k, v twice (before and after rotation), the attention's
  // output, gate, up and their product.
  const int64_t floats = 4 * int64_t{shape.width} + 3 * int64_t{shape.heads} * shape.head_size +
                         4 * int64_t{shape.kv_heads} * shape.head_size + 3 * int64_t{shape.feed_forward};
  const int64_t bytes = 4 * floats * tokens * shape.layers;
  return bytes <= kKeptBytes ? Activations::kKeep : Activations::kRecompute;
}

at::Tensor PredictorStates(const LlamaShape& shape, const LlamaWeights& weights,
                           const std::shared_ptr<const JoinedExamples>& examples, Activations activations) {
  at::Tensor x = weights.Embed(examples->tokens);
  const bool recompute = activations == Activations::kRecompute && at::GradMode::is_enabled();
  // A function whose inputs need no gradient is not called on the way back; the first layer's adapter needs that.
  if (recompute && !x.requires_grad()) x.requires_grad_(true);
  for (uint32_t index = 0; index < shape.layers; ++index) {
    auto layer = c10::make_intrusive<Layer>();
    layer->shape = shape;
    layer->weights = &weights;
    layer->examples = examples;
    layer->index = index;
    x = recompute ? RecomputedLayer::apply(x, layer) : layer->Run(x);
  }
  return RmsNormRows(x.index_select(0, examples->predictors), weights.OutputNorm(), shape.norm_epsilon);
}

}  // namespace fleetune
