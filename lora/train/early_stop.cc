#include "lora/train/early_stop.h"

namespace fleetune {

void EarlyStop::Add(uint32_t step, double loss, std::span<const float> parameters) {
  if (!on()) return;
  if (!state_.best.empty() && !(loss < state_.best_loss)) {
    ++state_.waited;
    return;
  }
  state_ = {.waited = 0, .best_step = step, .best_loss = loss, .best = {parameters.begin(), parameters.end()}};
}

}  // namespace fleetune
