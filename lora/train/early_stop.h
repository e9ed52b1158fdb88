#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace fleetune {

// When a training should stop, by losses over examples that it does not learn from: after `patience` measurements in a
// row that are not better than the best. Not thread-safe.
class EarlyStop {
 public:
  // All that changes with measurements.
  struct State {
    uint32_t waited = 0;      // measurements since the best
    uint32_t best_step = 0;   // after which the best was measured
    double best_loss = 0;     // no measurement yet if `best` is empty
    std::vector<float> best;  // the parameters then
    friend bool operator==(const State&, const State&) = default;
  };

  // 0: never, and nothing is kept.
  explicit EarlyStop(uint32_t patience) : patience_(patience) {}

  // What was measured after `step` with these parameters; a copy of the best is kept.
  void Add(uint32_t step, double loss, std::span<const float> parameters);

  bool on() const { return patience_ > 0; }
  bool stopped() const { return on() && state_.waited >= patience_; }
  const State& state() const { return state_; }
  void GoOnFrom(State state) { state_ = std::move(state); }

 private:
  const uint32_t patience_;
  State state_;
};

}  // namespace fleetune
