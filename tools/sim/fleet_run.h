#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"
#include "tools/sim/local_trainer.h"
#include "tools/sim/sim_task.h"

namespace fleetune {

// A version's loss, in nats a token over all devices' parts.
struct Losses {
  double held_out = 0;
  std::optional<double> tuning = {};  // if there is such a part
};
absl::StatusOr<Losses> LossesOf(LocalTrainer& trainer, const SimData& data, const Adapter* adapter);

struct RoundResult {
  uint32_t number = 0;
  Losses losses = {};       // of the version that it made
  uint32_t invited = 0;     // devices
  uint32_t counted = 0;
  uint64_t bytes_up = 0;    // of updates
  uint64_t bytes_down = 0;  // to bring its devices to the version that they trained against
  uint64_t tokens = 0;      // that they read
  double seconds = 0;       // simulated
  double clipped_share = 0;  // of devices whose update was clipped
};

struct FleetRunOptions {
  uint32_t rounds = 0;
  uint64_t seed = 1;               // of times, speeds, and rounding
  std::string store = ":memory:";  // the coordinator's database
};

struct FleetResult {
  std::vector<RoundResult> rounds = {};
  Adapter adapter;  // of the last version
  uint64_t tokens() const;
};

// Runs rounds of the task over all devices of `data`, one after the other, in one process: devices check in, whom the
// coordinator's core takes trains. Between two things that happen, time jumps. The same input gives the same adapters.
// `on_round` is called after each round.
// Errors of Fleet and LocalTrainer; FailedPrecondition naming a round that ended without a version.
absl::StatusOr<FleetResult> RunFleet(const SimTask& task, const SimData& data, LocalTrainer& trainer,
                                     const FleetRunOptions& options,
                                     absl::FunctionRef<void(const RoundResult&)> on_round);

}  // namespace fleetune
