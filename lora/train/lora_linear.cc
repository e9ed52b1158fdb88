#include "lora/train/lora_linear.h"

#include <algorithm>
#include <utility>

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

at::Tensor Dropped(const at::Tensor& x, double probability, uint64_t seed) {
  if (probability <= 0) return x;
  at::Generator generator = at::detail::createCPUGenerator(seed);
  at::Tensor mask = at::empty(x.sizes(), at::kFloat).bernoulli_(1.0 - probability, generator);
  return mask.mul_(1.0 / (1.0 - probability)).to(x.scalar_type()).mul_(x);
}

struct HeldArgs : torch::CustomClassHolder {
  explicit HeldArgs(LoraLinearArgs held) : args(std::move(held)) {}
  LoraLinearArgs args;
};

at::Tensor Product(const LoraLinearArgs::Output& output, const at::Tensor& x) {
  at::Tensor y = output.weight->Multiply(x);
  return output.bias.defined() ? y.add_(output.bias) : y;
}

// Columns of z = x A^T that belong to each output with an adapter, in order.
class RankColumns {
 public:
  explicit RankColumns(const at::Tensor& z) : z_(z) {}
  at::Tensor Next(int64_t rank) { return z_.narrow(1, std::exchange(at_, at_ + rank), rank).contiguous(); }

 private:
  const at::Tensor& z_;
  int64_t at_ = 0;
};

// Of `parts` parts that lie side by side, the first columns of each, `columns` in all.
at::Tensor FirstColumns(const at::Tensor& z, int64_t parts, int64_t columns) {
  if (columns == z.size(1)) return z;
  return z.view({z.size(0), parts, z.size(1) / parts}).narrow(2, 0, columns / parts).reshape({z.size(0), columns});
}

class LoraLinearFunction : public torch::autograd::Function<LoraLinearFunction> {
 public:
  static tensor_list forward(AutogradContext* ctx, const at::Tensor& x, const c10::intrusive_ptr<HeldArgs>& held) {
    const LoraLinearArgs& args = held->args;
    const at::Tensor z =
        args.a.defined() ? at::mm(Dropped(x, args.dropout, args.dropout_seed), args.a.t()) : at::Tensor();
    const bool b_trained = std::ranges::any_of(args.outputs, [](const auto& out) { return out.b_gradient.defined(); });
    ctx->save_for_backward({args.a_gradient.defined() ? x : at::Tensor(), b_trained ? z : at::Tensor()});
    ctx->saved_data["args"] = c10::IValue::make_capsule(held);
    ctx->saved_data["needs_x"] = x.requires_grad();
    tensor_list results;
    RankColumns columns(z);
    for (const LoraLinearArgs::Output& output : args.outputs) {
      if (!args.with_products) {
        results.push_back(at::empty({1, 1}, x.options()).expand({x.size(0), output.weight->rows()}));
        continue;
      }
      at::Tensor y = Product(output, x);
      if (output.b.defined()) y.addmm_(columns.Next(output.b.size(0)), output.b, 1, args.scale);
      results.push_back(std::move(y));
    }
    return results;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &z = saved[1];
    const auto holder = ctx->saved_data["args"].toCapsule();
    const LoraLinearArgs& args = static_cast<const HeldArgs&>(*holder).args;
    const bool needs_x = ctx->saved_data["needs_x"].toBool();

    at::Tensor dx;
    tensor_list dz;
    RankColumns columns(z);
    for (size_t i = 0; i < args.outputs.size(); ++i) {
      const LoraLinearArgs::Output& output = args.outputs[i];
      const at::Tensor dy = gradients[i].contiguous();
      if (needs_x) output.weight->MultiplyBack(dy, dx);
      if (!output.b.defined()) continue;
      if (output.b_gradient.defined()) {  // all adapters' here, or none
        const at::Tensor trained = columns.Next(output.b.size(0)).narrow(1, 0, output.b_gradient.size(0));
        output.b_gradient.add_(at::mm(trained.t(), dy), args.scale);
      }
      dz.push_back(at::mm(dy, output.b.t()));
    }
    if (dz.empty() || !(needs_x || args.a_gradient.defined())) return {dx, at::Tensor()};
    const at::Tensor all_dz = at::cat(dz, 1).mul_(args.scale);
    if (args.a_gradient.defined()) {
      const at::Tensor trained = FirstColumns(all_dz, static_cast<int64_t>(dz.size()), args.a_gradient.size(0));
      args.a_gradient.add_(at::mm(trained.t(), Dropped(x, args.dropout, args.dropout_seed)));
    }
    if (needs_x) {
      // The same mask as forward's falls on the gradient.
      args.dropout > 0 ? dx.add_(Dropped(at::mm(all_dz, args.a), args.dropout, args.dropout_seed))
                       : dx.addmm_(all_dz, args.a);
    }
    return {dx, at::Tensor()};
  }
};

}  // namespace

std::vector<at::Tensor> LoraLinear(const at::Tensor& x, LoraLinearArgs args) {
  return LoraLinearFunction::apply(x, c10::make_intrusive<HeldArgs>(std::move(args)));
}

}  // namespace fleetune
