#pragma once

#include <chrono>
#include <string>

#include "absl/status/status.h"
#include "base/clock.h"
#include "client/app/state_store.h"
#include "client/app/training_run.h"
#include "client/core/agent.h"

namespace fleetune {

// What a step is called in `status`.
const char* PhaseOf(const AgentStep& step);

// What a daemon is at, beside its phase. Borrowed for the call.
struct DaemonActivity {
  const Agent& agent;
  const TrainingRun* run = nullptr;  // null: nothing is being trained
  const std::string& reason;         // why it does not train; empty if it may
};

// Writes what the daemon is doing for `status`, when it changes. Not thread-safe.
class DaemonHeart {
 public:
  // Both borrowed.
  DaemonHeart(StateStore* state, const Clock* clock) : state_(*state), clock_(*clock) {}

  // What the last daemon wrote goes on. Errors of the state store.
  absl::Status Start();
  // `phase` is what it is at unless it trains; a training that waits is "paused". Errors of the state store.
  absl::Status Beat(const std::string& phase, const DaemonActivity& activity);

  void CheckedIn(std::chrono::milliseconds next_in);

 private:
  StateStore& state_;
  const Clock& clock_;
  Heartbeat beat_;
  Heartbeat told_;
};

}  // namespace fleetune
