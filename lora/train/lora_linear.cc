#include "lora/train/lora_linear.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

at::Tensor Dropped(const at::Tensor& x, double probability, uint64_t seed) {
  if (probability <= 0) return x;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  at::Tensor mask = at::empty_like(x).bernoulli_(1.0 - probability, generator);
  return mask.mul_(x).mul_(1.0 / (1.0 - probability));
}

class LoraLinearFunction : public torch::autograd::Function<LoraLinearFunction> {
 public:
  // Autograd sees only tensors among the arguments, so a and b are passed beside args.
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& a, const at::Tensor& b,
                            const LoraLinearArgs& args) {
    const at::Tensor z = at::mm(Dropped(x, args.dropout, args.dropout_seed), a.t());
    ctx->save_for_backward({a.requires_grad() ? x : at::Tensor(), a, b, b.requires_grad() ? z : at::Tensor()});
    ctx->saved_data["weight"] = reinterpret_cast<int64_t>(args.weight);
    ctx->saved_data["scale"] = args.scale;
    ctx->saved_data["dropout"] = args.dropout;
    ctx->saved_data["seed"] = static_cast<int64_t>(args.dropout_seed);
    ctx->saved_data["needs_x"] = x.requires_grad();  // not where the embedding comes in
    ctx->saved_data["needs_a"] = a.requires_grad();
    ctx->saved_data["needs_b"] = b.requires_grad();
    return args.weight->Multiply(x).addmm_(z, b, 1, args.scale);
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &a = saved[1], &b = saved[2], &z = saved[3];
    const auto* weight = reinterpret_cast<const FrozenMatrix*>(ctx->saved_data["weight"].toInt());
    const double scale = ctx->saved_data["scale"].toDouble();
    const double dropout = ctx->saved_data["dropout"].toDouble();
    const auto seed = static_cast<uint64_t>(ctx->saved_data["seed"].toInt());
    const at::Tensor dy = gradients[0].contiguous();

    const at::Tensor dz = at::mm(dy, b.t()).mul_(scale);
    at::Tensor dx, da, db;
    if (ctx->saved_data["needs_x"].toBool()) {
      dx = weight->MultiplyBack(dy);
      // The same mask as forward's falls on the gradient.
      dropout > 0 ? dx.add_(Dropped(at::mm(dz, a), dropout, seed)) : dx.addmm_(dz, a);
    }
    if (ctx->saved_data["needs_a"].toBool()) da = at::mm(dz.t(), Dropped(x, dropout, seed));
    if (ctx->saved_data["needs_b"].toBool()) db = at::mm(z.t(), dy).mul_(scale);
    return {dx, da, db, at::Tensor()};
  }
};

class FrozenLinearFunction : public torch::autograd::Function<FrozenLinearFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const FrozenMatrix* weight) {
    ctx->saved_data["weight"] = reinterpret_cast<int64_t>(weight);
    return weight->Multiply(x);
  }
  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const auto* weight = reinterpret_cast<const FrozenMatrix*>(ctx->saved_data["weight"].toInt());
    return {weight->MultiplyBack(gradients[0].contiguous()), at::Tensor()};
  }
};

}  // namespace

at::Tensor LoraLinear(const at::Tensor& x, const LoraLinearArgs& args) {
  if (!args.a.defined()) return FrozenLinearFunction::apply(x, args.weight);
  return LoraLinearFunction::apply(x, args.a, args.b, args);
}

}  // namespace fleetune
