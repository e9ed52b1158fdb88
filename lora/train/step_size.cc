#include "lora/train/step_size.h"

#include <cmath>
#include <numbers>

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

}  // namespace fleetune
