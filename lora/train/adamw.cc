#include "lora/train/adamw.h"

#include <cmath>
#include <numbers>

#include "base/check.h"

namespace fleetune {

double LearningRate(const TrainOptions& options, uint32_t step, uint32_t steps) {
  if (step <= options.warmup_steps) {
    return options.learning_rate * static_cast<double>(step) / static_cast<double>(options.warmup_steps);
  }
  if (options.schedule == Schedule::kConstant || steps <= options.warmup_steps) return options.learning_rate;
  const double done = static_cast<double>(step - 1 - options.warmup_steps) /
                      static_cast<double>(steps - options.warmup_steps);
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
      mean_(parameters, 0.0f),
      square_(parameters, 0.0f) {}

void AdamW::Step(double learning_rate, std::span<const float> gradient, std::span<float> weights) {
  CHECK(gradient.size() == mean_.size() && weights.size() == mean_.size());
  ++steps_;
  const auto step = static_cast<double>(steps_);
  const auto beta1 = static_cast<float>(beta1_);
  const auto beta2 = static_cast<float>(beta2_);
  const auto rate = static_cast<float>(learning_rate / (1.0 - std::pow(beta1_, step)));
  const auto root = static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(beta2_, step)));
  const auto epsilon = static_cast<float>(epsilon_);
  const auto keep = static_cast<float>(1.0 - learning_rate * weight_decay_);
  for (size_t i = 0; i < weights.size(); ++i) {
    const float g = gradient[i];
    mean_[i] = beta1 * mean_[i] + (1.0f - beta1) * g;
    square_[i] = beta2 * square_[i] + (1.0f - beta2) * g * g;
    weights[i] = keep * weights[i] - rate * mean_[i] / (std::sqrt(square_[i]) * root + epsilon);
  }
}

}  // namespace fleetune
