#include "lora/train/dora_gains.h"

#include "inference/kernels/row_norms.h"
#include "lora/train/tensor_rows.h"

namespace fleetune {
namespace {

// Keeps a row that training makes zero from giving NaN at once: its gain is large, and the loss will say so.
constexpr double kLeastSquare = 1e-30;
constexpr double kLeastNorm = 1.01e-15;

}  // namespace

DoraGains::DoraGains(const GgufTensor& weight)
    : squares_(at::empty({static_cast<int64_t>(weight.rows)}, at::kFloat)),
      norms_(at::empty_like(squares_)),
      gains_(at::empty_like(squares_)) {
  RowNorms(MatrixOf(weight), {}, {}, Floats(squares_));
  squares_.square_();
}

void DoraGains::UpdateFrom(const Module& module, const FrozenMatrix& weight) {
  const at::Tensor along = weight.Multiply(module.product_a).to(at::kFloat);  // A W^T: [rank, out]
  const at::Tensor added = at::mm(at::mm(module.a, module.a.t()), module.b);
  const at::Tensor changed = along.mul_(2.0 * module.scale).add_(added, module.scale * module.scale).mul_(module.b);
  norms_.copy_(changed.sum(0)).add_(squares_).clamp_min_(kLeastSquare).sqrt_();
  at::div_out(gains_, module.magnitudes, norms_);
}

bool DoraGains::any_norm_is_zero() const { return norms_.min().item<double>() < kLeastNorm; }

}  // namespace fleetune
