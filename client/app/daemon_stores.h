#pragma once

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "client/app/daemon.h"
#include "client/app/payload_files.h"
#include "client/app/state_store.h"
#include "client/data/audit_log.h"
#include "client/data/example_store.h"
#include "client/update/adapter_shelf.h"
#include "client/update/model_shelf.h"

namespace fleetune {

// The stores of a running daemon. Not thread-safe: they belong to its thread.
struct DaemonStores {
  StateStore state;
  ExampleStore examples;
  DeviceAuditLog audit;
  PayloadFiles payloads;
  AdapterShelf adapters;
  ModelShelf models;

  // Models that cannot be used are told in the log. `clock` is borrowed. Errors of the stores.
  static absl::StatusOr<DaemonStores> Open(const DaemonOptions& options, const SigningKey& identity, const Clock& clock);
};

}  // namespace fleetune
