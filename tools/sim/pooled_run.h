#pragma once

#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "lora/adapter/adapter.h"
#include "tools/sim/fleet_run.h"
#include "tools/sim/local_trainer.h"
#include "tools/sim/sim_task.h"

namespace fleetune {

// What the fleet is compared with: all devices' texts in one place, trained in one go.
struct PooledResult {
  double learning_rate = 0;
  Losses losses = {};
  uint64_t tokens = 0;
};
struct PooledOptions {
  uint64_t tokens = 0;                      // to read, about: whole steps
  std::vector<double> learning_rates = {};  // to try; empty: the task's
};

// Trains the task's adapter from its start on the training parts of all devices, with the task's options but for
// FedProx and SCAFFOLD, once for each learning rate: B alone if the task does, else A and B at once. In the order of
// the rates; `on_result` is called after each. Errors of LocalTrainer.
absl::StatusOr<std::vector<PooledResult>> RunPooled(const SimTask& task, const SimData& data, LocalTrainer& trainer,
                                                    const PooledOptions& options,
                                                    absl::FunctionRef<void(const PooledResult&)> on_result);

// The one with the least loss on the tuning part, or if there is none on the held-out part. Requires at least one;
// checked.
const PooledResult& BestOf(const std::vector<PooledResult>& results);

}  // namespace fleetune
