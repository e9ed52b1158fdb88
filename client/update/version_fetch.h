#pragma once

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "base/crypto/signature.h"
#include "client/core/ports.h"
#include "client/update/adapter_shelf.h"

namespace fleetune {

// A version of a task's adapter that the device wants to hold.
struct WantedVersion {
  TrainingPlan plan;      // verified
  ServedVersion version;
  BaseSizes sizes;        // of the plan's base model
};

struct VersionFetchOptions {
  std::string downloads;       // a folder for parts that have come; made if missing
  uint32_t most_parts = 32;    // of 256 KiB a call, so that the caller stays responsive
};

// Brings `wanted` onto the shelf: asks for the way from what is served now (or from version 0, which follows from
// the plan), downloads the signed updates, going on where the last call or process stopped, applies them to a copy,
// and checks the hash. If they do not fit what is here, a snapshot heals it. True when the version can be loaded; false: call
// again. Errors of the link and of ApplyUpdate; DataLoss if the result is not what was wanted. Whatever fails, what
// is served stays.
absl::StatusOr<bool> FetchVersion(const WantedVersion& wanted, const VersionFetchOptions& options,
                                  const VerifyKey& release_key, AdapterShelf& shelf, CoordinatorLink& link);

}  // namespace fleetune
