#include "lora/train/adamw.h"

#include <cmath>
#include <numbers>
#include <utility>

#include "base/check.h"

namespace fleetune {

double LearningRate(const TrainOptions& options, uint32_t step, uint32_t steps) {
  if (step <= options.warmup_steps) {
    return options.learning_rate * static_cast<double>(step) / static_cast<double>(options.warmup_steps);
  }
  if (options.schedule == Schedule::kConstant || steps <= options.warmup_steps) return options.learning_rate;
  const double done =
      static_cast<double>(step - 1 - options.warmup_steps) / static_cast<double>(steps - options.warmup_steps);
  return options.learning_rate * 0.5 * (1.0 + std::cos(std::numbers::pi * done));
}

double ClipByNorm(std::span<float> gradient, double limit) {
  double sum = 0;
  for (const float value : gradient) sum += static_cast<double>(value) * static_cast<double>(value);
  const double norm = std::sqrt(sum);
  if (norm > limit) {
    const auto scale = static_cast<float>(limit / norm);
    for (float& value : gradient) value *= scale;
  }
  return norm;
}

AdamW::AdamW(const TrainOptions& options, size_t parameters)
    : beta1_(options.beta1),
      beta2_(options.beta2),
      epsilon_(options.epsilon),
      weight_decay_(options.weight_decay),
      state_{.steps = 0, .mean = std::vector<float>(parameters), .square = std::vector<float>(parameters)} {}

void AdamW::GoOnFrom(State state) {
  CHECK(state.mean.size() == state_.mean.size() && state.square.size() == state_.square.size());
  state_ = std::move(state);
}

void AdamW::Step(double learning_rate, std::span<const float> gradient, std::span<float> weights) {
  std::vector<float>& mean = state_.mean;
  std::vector<float>& square = state_.square;
  CHECK(gradient.size() == mean.size() && weights.size() == mean.size());
  const auto step = static_cast<double>(++state_.steps);
  const auto beta1 = static_cast<float>(beta1_);
  const auto beta2 = static_cast<float>(beta2_);
  const auto rate = static_cast<float>(learning_rate / (1.0 - std::pow(beta1_, step)));
  const auto root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2_, step)));
  const auto epsilon = static_cast<float>(epsilon_);
  const auto keep = static_cast<float>(1.0 - learning_rate * weight_decay_);
  for (size_t i = 0; i < weights.size(); ++i) {
    const float g = gradient[i];
    mean[i] = beta1 * mean[i] + (1.0f - beta1) * g;
    square[i] = beta2 * square[i] + (1.0f - beta2) * g * g;
    weights[i] = keep * weights[i] - rate * mean[i] / (std::sqrt(square[i]) * root + epsilon);
  }
}

}  // namespace fleetune
