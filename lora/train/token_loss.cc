#include "lora/train/token_loss.h"

#include <algorithm>
#include <vector>

#include "lora/plan/training_memory.h"
#include "lora/train/layer_math.h"
#include "lora/train/tensor_rows.h"

namespace fleetune {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::tensor_list;

// Some rows of hidden states on their way through the vocabulary.
class ChunkLoss {
 public:
  ChunkLoss(const at::Tensor& hidden, std::span<const int64_t> targets, const FrozenMatrix& output, bool with_gradient)
      : hidden_(hidden.contiguous()),
        targets_(targets),
        output_(output),
        softmax_(targets.size()),
        target_logits_(targets.size()),
        mean_(with_gradient ? at::zeros(hidden.sizes(), at::kFloat) : at::Tensor()) {}

  // Of each row.
  void Losses(std::span<double> out) {
    for (int64_t begin = 0; begin < output_.rows(); begin += kLossVocabulary) {
      Add(begin, std::min<int64_t>(begin + kLossVocabulary, output_.rows()));
    }
    for (size_t row = 0; row < targets_.size(); ++row) {
      out[row] = softmax_[row].LogSum() - static_cast<double>(target_logits_[row]);
    }
  }

  // After Losses: softmax-weighted mean of W's rows, minus the target's row.
  at::Tensor Gradient() {
    const at::Tensor target_rows = output_.Gather(TargetIndices());
    const auto width = static_cast<size_t>(mean_.size(1));
    ForRows(mean_.size(0), mean_.size(1), [&](size_t first, size_t count) {
      TensorRows of_targets(target_rows);
      for (size_t row = first; row < first + count; ++row) {
        const std::span<const float> target = of_targets.Read(row);
        const std::span<float> mean = Floats(mean_).subspan(row * width, width);
        for (size_t i = 0; i < width; ++i) mean[i] = mean[i] / softmax_[row].sum - target[i];
      }
    });
    return mean_;
  }

 private:
  at::Tensor TargetIndices() const {
    at::Tensor indices = at::empty({static_cast<int64_t>(targets_.size())}, at::kLong);
    std::copy(targets_.begin(), targets_.end(), indices.data_ptr<int64_t>());
    return indices;
  }

  void Add(int64_t begin, int64_t end) {
    const at::Tensor weights = output_.Block(begin, end);
    const at::Tensor logits = output_.Forward(hidden_, begin, weights);
    ForRows(logits.size(0), logits.size(1), [&](size_t first, size_t count) {
      TensorRows rows(logits);
      for (size_t row = first; row < first + count; ++row) AddRow(row, targets_[row] - begin, rows);
    });
    if (mean_.defined()) mean_.add_(at::mm(logits, weights));
  }

  void AddRow(size_t row, int64_t target, TensorRows& rows) {
    rows.Read(row);
    const std::span<float> values = rows.Start(row);  // what was read, to be changed
    if (target >= 0 && static_cast<size_t>(target) < values.size()) {
      target_logits_[row] = values[static_cast<size_t>(target)];
    }
    const float earlier = AddPart(values, softmax_[row]);
    rows.Write(row);
    if (earlier == 1.0f || !mean_.defined()) return;
    const auto width = static_cast<size_t>(mean_.size(1));
    for (float& value : Floats(mean_).subspan(row * width, width)) value *= earlier;
  }

  const ForwardInput hidden_;
  const std::span<const int64_t> targets_;
  const FrozenMatrix& output_;
  std::vector<RunningSoftmax> softmax_;
  std::vector<float> target_logits_;
  at::Tensor mean_;  // times the softmax's sum until Gradient
};

class TokenLossFunction : public torch::autograd::Function<TokenLossFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& targets,
                            const FrozenMatrix* output) {
    at::Tensor d_hidden = hidden.requires_grad() ? at::empty_like(hidden) : at::Tensor();
    at::Tensor losses = at::empty({hidden.size(0)}, at::kDouble);
    for (int64_t begin = 0; begin < hidden.size(0); begin += kLossRows) {
      const int64_t size = std::min<int64_t>(kLossRows, hidden.size(0) - begin);
      const at::Tensor rows = hidden.narrow(0, begin, size);
      ChunkLoss chunk(rows, {targets.data_ptr<int64_t>() + begin, static_cast<size_t>(size)}, *output,
                      d_hidden.defined());
      chunk.Losses({losses.data_ptr<double>() + begin, static_cast<size_t>(size)});
      if (d_hidden.defined()) d_hidden.narrow(0, begin, size).copy_(chunk.Gradient());
    }
    ctx->save_for_backward({d_hidden});
    return losses;
  }

  static tensor_list backward(AutogradContext* ctx, tensor_list gradients) {
    const at::Tensor d_hidden = ctx->get_saved_variables()[0];
    return {d_hidden.mul(gradients[0].to(d_hidden.scalar_type()).unsqueeze(1)), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor TokenLosses(const at::Tensor& hidden, const at::Tensor& targets, const FrozenMatrix& output) {
  return TokenLossFunction::apply(hidden, targets, &output);
}

}  // namespace fleetune
