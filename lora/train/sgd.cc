#include "lora/train/optimizer.h"

namespace fleetune {
namespace {

class Sgd final : public OptimizerRule {
 public:
  explicit Sgd(const TrainOptions& options) : momentum_(options.momentum), weight_decay_(options.weight_decay) {}

  uint64_t StateFloats(const TrainedMatrix& matrix) const override { return momentum_ > 0 ? matrix.size() : 0; }

  void Apply(const MatrixStep& step) const override {
    const auto momentum = static_cast<float>(momentum_);
    const auto rate = static_cast<float>(step.learning_rate);
    const auto keep = static_cast<float>(1.0 - step.learning_rate * (step.matrix.decays ? weight_decay_ : 0.0));
    for (size_t i = 0; i < step.state.size(); ++i) step.state[i] = momentum * step.state[i] + step.gradient[i];
    const std::span<const float> direction = step.state.empty() ? step.gradient : step.state;
    for (size_t i = 0; i < step.weights.size(); ++i) {
      step.weights[i] = keep * step.weights[i] - rate * direction[i];
    }
  }

 private:
  const double momentum_;
  const double weight_decay_;
};

}  // namespace

std::unique_ptr<const OptimizerRule> MakeSgd(const TrainOptions& options) { return std::make_unique<Sgd>(options); }

}  // namespace fleetune
