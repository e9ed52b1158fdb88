#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "coordinator/core/fleet_store.h"
#include "coordinator/rpc/ports.h"

namespace fleetune {

// Copies of the database as fleet-<time>.db in one folder. Belongs to the fleet's strand. Base models, keys and the
// CA are not in it: they do not change while the coordinator runs and are copied with the folder.
class BackupFolder final : public BackupMaker {
 public:
  BackupFolder(std::string path, FleetStore* store, const Clock* clock)
      : path_(std::move(path)), store_(store), clock_(clock) {}

  absl::StatusOr<MadeBackup> Make() override;

 private:
  const std::string path_;
  FleetStore* const store_;
  const Clock* const clock_;
};

}  // namespace fleetune
