#include <cmath>

#include "lora/train/optimizer.h"

namespace fleetune {
namespace {

class AdamW final : public OptimizerRule {
 public:
  explicit AdamW(const TrainOptions& options)
      : beta1_(options.beta1),
        beta2_(options.beta2),
        epsilon_(options.epsilon),
        weight_decay_(options.weight_decay) {}

  uint64_t StateFloats(const TrainedMatrix& matrix) const override { return 2 * matrix.size(); }

  void Apply(const MatrixStep& step) const override {
    const std::span<float> mean = step.state.first(step.gradient.size());
    const std::span<float> square = step.state.subspan(step.gradient.size());
    const auto number = static_cast<double>(step.step);
    const auto beta1 = static_cast<float>(beta1_);
    const auto beta2 = static_cast<float>(beta2_);
    const auto rate = static_cast<float>(step.learning_rate / (1.0 - std::pow(beta1_, number)));
    const auto root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2_, number)));
    const auto epsilon = static_cast<float>(epsilon_);
    const auto keep = static_cast<float>(1.0 - step.learning_rate * (step.matrix.decays ? weight_decay_ : 0.0));
    for (size_t i = 0; i < step.weights.size(); ++i) {
      const float g = step.gradient[i];
      mean[i] = beta1 * mean[i] + (1.0f - beta1) * g;
      square[i] = beta2 * square[i] + (1.0f - beta2) * g * g;
      step.weights[i] = keep * step.weights[i] - rate * mean[i] / (std::sqrt(square[i]) * root + epsilon);
    }
  }

 private:
  const double beta1_;
  const double beta2_;
  const double epsilon_;
  const double weight_decay_;
};

}  // namespace

std::unique_ptr<const OptimizerRule> MakeAdamW(const TrainOptions& options) { return std::make_unique<AdamW>(options); }

}  // namespace fleetune
