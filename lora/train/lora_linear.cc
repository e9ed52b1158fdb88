#include "lora/train/lora_linear.h"

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "lora/train/layer_math.h"
#include "lora/train/tensor_rows.h"

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

// Rows of gains * u + bias, rounded once to the type of u.
at::Tensor Gained(const at::Tensor& u, const at::Tensor& gains, const at::Tensor& bias) {
  at::Tensor y = at::empty_like(u);
  const at::Tensor added = bias.defined() ? bias.to(at::kFloat) : at::Tensor();
  ForRows(u.size(0), u.size(1), [&](size_t first, size_t count) {
    TensorRows from(u), to(y);
    for (size_t row = first; row < first + count; ++row) {
      GainRow(from.Read(row), Floats(gains), added.defined() ? Floats(added) : std::span<float>(), to.Start(row));
      to.Write(row);
    }
  });
  return y;
}

constexpr int64_t kColumnsAThread = 512;  // fewer are not worth waking a thread

// Adds to `gradient` the dot products of the columns of dy and u over the norms. Threads share the columns, so the order of the
// sums does not depend on their number.
void AddMagnitudeGradient(const at::Tensor& dy, const at::Tensor& u, const at::Tensor& norms,
                          const at::Tensor& gradient) {
  at::parallel_for(0, u.size(1), kColumnsAThread, [&](int64_t begin, int64_t end) {
    const auto first = static_cast<size_t>(begin), columns = static_cast<size_t>(end - begin);
    TensorRows dys(dy, first, columns), us(u, first, columns);
    std::vector<double> sums(columns);
    for (size_t row = 0; row < static_cast<size_t>(u.size(0)); ++row) {
      AddProductsOfRow(dys.Read(row), us.Read(row), sums);
    }
    for (size_t i = 0; i < columns; ++i) {
      Floats(gradient)[first + i] += static_cast<float>(sums[i] / static_cast<double>(Floats(norms)[first + i]));
    }
  });
}

// What an output is before its gains: x W^T, with the bias if there are none, and scale * z B. `z` of that output alone;
// undefined: no adapter there.
at::Tensor Sum(const LoraLinearArgs::Output& output, const ForwardInput& x, const at::Tensor& z, double scale) {
  at::Tensor sum = output.weight->Forward(x);
  if (output.bias.defined() && !output.gains.defined()) sum.add_(output.bias);
  return z.defined() ? sum.addmm_(z, output.b, 1, scale) : sum;
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
    tensor_list saved = {args.a_gradient.defined() ? x : at::Tensor(), b_trained ? z : at::Tensor()};
    ctx->saved_data["args"] = c10::IValue::make_capsule(held);
    ctx->saved_data["needs_x"] = x.requires_grad();
    tensor_list results;
    RankColumns columns(z);
    const ForwardInput input(x.contiguous());
    for (const LoraLinearArgs::Output& output : args.outputs) {
      const at::Tensor z_here = output.b.defined() ? columns.Next(output.b.size(0)) : at::Tensor();
      const bool sum_saved = output.magnitude_gradient.defined();
      at::Tensor sum = args.with_products || sum_saved ? Sum(output, input, z_here, args.scale) : at::Tensor();
      saved.push_back(sum_saved ? sum : at::Tensor());
      if (!args.with_products) {
        results.push_back(at::empty({1, 1}, x.options()).expand({x.size(0), output.weight->rows()}));
      } else {
        results.push_back(output.gains.defined() ? Gained(sum, output.gains, output.bias) : std::move(sum));
      }
    }
    ctx->save_for_backward(std::move(saved));
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
      at::Tensor dy = gradients[i].contiguous();
      if (output.magnitude_gradient.defined()) {
        AddMagnitudeGradient(dy, saved[2 + i], output.norms, output.magnitude_gradient);
      }
      if (output.gains.defined()) dy = Gained(dy, output.gains, {});
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
