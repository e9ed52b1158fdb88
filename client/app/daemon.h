#pragma once

#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/random.h"
#include "client/app/device_folder.h"
#include "client/app/identity.h"
#include "client/app/prompt_server.h"
#include "client/app/settings.h"
#include "client/app/stop_signal.h"

namespace fleetune {

inline constexpr const char* kClientVersion = "0.1.0";

struct DaemonOptions {
  DeviceFolder folder;
  ClientSettings settings;
  std::string trainer;      // path of fleetune-trainer
  // Makes who answers prompts while the daemon runs; empty: nobody does. Called once.
  std::function<absl::StatusOr<std::unique_ptr<PromptServer>>(const DeviceBudget& budget)> prompts = {};
};

// The device's daemon: runs the agent over real disk, wire and trainer until `stop`. Logs through spdlog's default
// logger; no training text, no secret.
//
// FailedPrecondition if another daemon runs in the folder; NotFound if the device is not enrolled; otherwise what made it
// impossible to go on (its own disk). A coordinator that cannot be reached is no error.
absl::Status RunDaemon(const DaemonOptions& options, const Clock& clock, StopSignal& stop);

}  // namespace fleetune
