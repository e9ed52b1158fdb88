#include "lora/train/optimizer.h"

#include <utility>

#include "base/check.h"

namespace fleetune {
namespace {

std::unique_ptr<const OptimizerRule> MakeRule(const TrainOptions& options) {
  switch (options.optimizer) {
    case OptimizerKind::kAdamW:
      return MakeAdamW(options);
    case OptimizerKind::kSgd:
      return MakeSgd(options);
    case OptimizerKind::kAdaFactor:
      return MakeAdaFactor(options);
  }
  return MakeAdamW(options);
}

}  // namespace

Optimizer::Optimizer(const TrainOptions& options, std::vector<TrainedMatrix> matrices)
    : rule_(MakeRule(options)), matrices_(std::move(matrices)) {
  uint64_t floats = 0;
  for (const TrainedMatrix& matrix : matrices_) {
    CHECK(matrix.offset == parameters_);
    parameters_ += matrix.size();
    floats += rule_->StateFloats(matrix);
  }
  state_.resize(floats);
}

void Optimizer::Step(double learning_rate, std::span<const float> gradient, std::span<float> weights) {
  CHECK(gradient.size() == parameters_ && weights.size() == parameters_);
  ++steps_;
  std::span<float> rest(state_);
  for (const TrainedMatrix& matrix : matrices_) {
    const uint64_t floats = rule_->StateFloats(matrix);
    rule_->Apply({.matrix = matrix,
                  .step = steps_,
                  .learning_rate = learning_rate * matrix.rate,
                  .gradient = gradient.subspan(matrix.offset, matrix.size()),
                  .weights = weights.subspan(matrix.offset, matrix.size()),
                  .state = rest.first(floats)});
    rest = rest.subspan(floats);
  }
}

void Optimizer::GoOnFrom(uint64_t steps, std::vector<float> state) {
  CHECK(state.size() == state_.size());
  steps_ = steps;
  state_ = std::move(state);
}

}  // namespace fleetune
