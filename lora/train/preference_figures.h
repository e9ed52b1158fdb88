#pragma once

#include <cstdint>

namespace fleetune {

// How well a model tells chosen from rejected answers.
struct PreferenceFigures {
  uint64_t pairs = 0;    // counted
  uint64_t right = 0;    // of them with a margin over 0: the chosen answer gained more than the rejected one
  double margin_sum = 0;  // beta times the difference of log-probabilities gained, over all pairs

  double accuracy() const { return pairs > 0 ? static_cast<double>(right) / static_cast<double>(pairs) : 0; }
  double margin() const { return pairs > 0 ? margin_sum / static_cast<double>(pairs) : 0; }
  void Add(const PreferenceFigures& other) {
    pairs += other.pairs;
    right += other.right;
    margin_sum += other.margin_sum;
  }
  friend bool operator==(const PreferenceFigures&, const PreferenceFigures&) = default;
};

}  // namespace fleetune
