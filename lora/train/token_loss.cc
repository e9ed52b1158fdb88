#include "lora/train/token_loss.h"

#include <algorithm>
#include <vector>

#include "lora/train/layer_math.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Of f32 logits, 32 MB; but never fewer rows than keep products efficient.
constexpr int64_t kChunkElements = int64_t{8} << 20;
constexpr int64_t kMinChunkRows = 64;

// Turns logits into their gradient; gives the loss of each row.
void SoftmaxRows(at::Tensor& logits, const int64_t* targets, double* losses) {
  const int64_t vocabulary = logits.size(1);
  float* values = logits.data_ptr<float>();
  at::parallel_for(0, logits.size(0), std::max<int64_t>(1, 16 * 1024 / vocabulary), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      losses[row] = SoftmaxLoss(std::span(values + row * vocabulary, static_cast<size_t>(vocabulary)),
                                static_cast<uint32_t>(targets[row]));
    }
  });
}

class TokenLossFunction : public torch::autograd::Function<TokenLossFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& targets,
                            const FrozenMatrix* output) {
    const int64_t rows = hidden.size(0);
    const int64_t chunk = std::max(kMinChunkRows, kChunkElements / output->rows());
    at::Tensor d_hidden = hidden.requires_grad() ? at::empty_like(hidden) : at::Tensor();
    std::vector<double> losses(static_cast<size_t>(rows));
    for (int64_t begin = 0; begin < rows; begin += chunk) {
      const int64_t size = std::min(chunk, rows - begin);
      at::Tensor logits = output->Multiply(hidden.narrow(0, begin, size));
      SoftmaxRows(logits, targets.data_ptr<int64_t>() + begin, losses.data() + begin);
      if (d_hidden.defined()) d_hidden.narrow(0, begin, size).copy_(output->MultiplyBack(logits));
    }
    double sum = 0;
    for (const double loss : losses) sum += loss;
    ctx->save_for_backward({d_hidden});
    return at::scalar_tensor(sum, at::kFloat);
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    return {ctx->get_saved_variables()[0].mul(gradients[0]), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor TokenLoss(const at::Tensor& hidden, const at::Tensor& targets, const FrozenMatrix& output) {
  return TokenLossFunction::apply(hidden, targets, &output);
}

}  // namespace fleetune
