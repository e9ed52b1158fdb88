#include "lora/train/layer_functions.h"

#include <span>

#include "lora/train/layer_math.h"
#include "lora/train/tensor_rows.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

class RmsNormFunction : public torch::autograd::Function<RmsNormFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& weight, double epsilon,
                            at::ScalarType type) {
    at::Tensor y = at::empty(x.sizes(), type);
    at::Tensor inverse = at::empty({x.size(0)}, at::kFloat);
    const auto width = static_cast<size_t>(x.size(1));
    ForRows(x.size(0), x.size(1), [&](size_t first, size_t count) {
      TensorRows out(y);
      for (size_t row = first; row < first + count; ++row) {
        RmsNorm(Floats(x).subspan(row * width, width), Floats(weight), static_cast<float>(epsilon), out.Start(row),
                Floats(inverse).subspan(row, 1));
        out.Write(row);
      }
    });
    ctx->save_for_backward({x, weight, inverse});
    ctx->saved_data["needs_weight"] = weight.requires_grad();
    return y;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor &x = saved[0], &weight = saved[1], &inverse = saved[2];
    const at::Tensor dy = gradients[0].contiguous();
    at::Tensor dx = at::empty_like(x);
    const auto width = static_cast<size_t>(x.size(1));
    const auto rows = [&](size_t first, size_t count, std::span<float> d_weight) {
      TensorRows d_out(dy);
      for (size_t row = first; row < first + count; ++row) {
        RmsNormBackward(Floats(x).subspan(row * width, width), Floats(weight), Floats(inverse).subspan(row, 1),
                        d_out.Read(row), Floats(dx).subspan(row * width, width), d_weight);
      }
    };
    if (ctx->saved_data["needs_weight"].toBool()) {  // one sum over all rows: one thread
      at::Tensor d_weight = at::zeros_like(weight);
      rows(0, static_cast<size_t>(x.size(0)), Floats(d_weight));
      return {dx, d_weight, at::Tensor(), at::Tensor()};
    }
    ForRows(x.size(0), x.size(1), [&](size_t first, size_t count) { rows(first, count, {}); });
    return {dx, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

class SwiGluFunction : public torch::autograd::Function<SwiGluFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate, const at::Tensor& up) {
    at::Tensor h = at::empty_like(gate);
    ForRows(gate.size(0), gate.size(1), [&](size_t first, size_t count) {
      TensorRows gates(gate), ups(up), out(h);
      for (size_t row = first; row < first + count; ++row) {
        SwiGlu(gates.Read(row), ups.Read(row), out.Start(row));
        out.Write(row);
      }
    });
    ctx->save_for_backward({gate, up});
    return h;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const tensor_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor dh = gradients[0].contiguous();
    at::Tensor d_gate = at::empty_like(gate);
    at::Tensor d_up = at::empty_like(up);
    ForRows(gate.size(0), gate.size(1), [&](size_t first, size_t count) {
      TensorRows gates(gate), ups(up), d_out(dh), d_gates(d_gate), d_ups(d_up);
      for (size_t row = first; row < first + count; ++row) {
        SwiGluBackward(gates.Read(row), ups.Read(row), d_out.Read(row), d_gates.Start(row), d_ups.Start(row));
        d_gates.Write(row);
        d_ups.Write(row);
      }
    });
    return {d_gate, d_up};
  }
};

}  // namespace

at::Tensor RmsNormRows(const at::Tensor& x, const at::Tensor& weight, double epsilon, at::ScalarType type) {
  return RmsNormFunction::apply(x, weight, epsilon, type);
}

at::Tensor SwiGluRows(const at::Tensor& gate, const at::Tensor& up) { return SwiGluFunction::apply(gate, up); }

}  // namespace fleetune
