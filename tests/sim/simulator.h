#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "tests/support/small_fleet.h"

namespace fleetune {

// Simulated time: tasks run in order of their time, ties in order of scheduling; time jumps, nothing sleeps.
// One seed replays a run. Single-threaded; moves the clock that it borrows.
class Simulator {
 public:
  Simulator(ManualClock& clock, uint64_t seed) : random(seed), clock_(clock) {}

  void After(std::chrono::milliseconds delay, std::function<void()> task) {
    queue_.emplace(std::pair(clock_.now + delay, next_order_++), std::move(task));
  }
  // At a random time in [0, longest].
  void Within(std::chrono::milliseconds longest, std::function<void()> task) {
    After(std::chrono::milliseconds(random.Below(static_cast<uint64_t>(longest.count()) + 1)), std::move(task));
  }
  bool Chance(double probability) { return random.NextUnit() < probability; }

  // Runs until `done` says so. A run that does not end is a bug.
  void RunUntil(const std::function<bool()>& done) {
    constexpr int kMaxSteps = 10'000'000;
    for (int step = 0; !done(); ++step) {
      CHECK(step < kMaxSteps && !queue_.empty());
      auto next = queue_.extract(queue_.begin());
      clock_.now = next.key().first;
      next.mapped()();
    }
  }

  SplitMix64 random;

 private:
  ManualClock& clock_;
  uint64_t next_order_ = 0;
  std::map<std::pair<TimePoint, uint64_t>, std::function<void()>> queue_;
};

}  // namespace fleetune
