#pragma once

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "base/clock.h"
#include "client/app/daemon_stores.h"
#include "client/app/training_run.h"
#include "client/core/check_in.h"
#include "client/core/device_state.h"

namespace fleetune {

// What a daemon tells its owner of what happened: in the log, in the audit log, and of its tasks for `status`. Not
// thread-safe.
class OwnerNews {
 public:
  // Both borrowed.
  OwnerNews(DaemonStores* stores, const Clock* clock) : stores_(*stores), clock_(*clock) {}

  // A note of the agent's, durable when it returns; "sending ..." says that the update of `state` leaves. Errors of the audit log.
  absl::Status Audit(const std::string& note, const DeviceState& state);

  // The tasks of a check-in: what they do with updates, if that is news.
  void Tell(const std::vector<KnownTask>& known);
  // Prompts are answered with `version` from now on.
  void Tell(const ServedVersion& version);
  // Of a training about every tenth part, and its first step. Whether there was something to tell.
  bool Tell(const TrainingRun& run);

 private:
  DaemonStores& stores_;
  const Clock& clock_;
  std::vector<TaskPrivacy> tasks_;
  uint32_t told_tenth_ = 0;
  uint32_t told_step_ = 0;
};

}  // namespace fleetune
