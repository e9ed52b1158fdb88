#include "coordinator/store/migrations.h"

#include <array>
#include <string>

#include "base/status_macros.h"

namespace fleetune {
namespace {

// Steps that were released are never edited: a change is a new step at the end.
constexpr std::array<const char*, 5> kMigrations = {
    // 1: times are milliseconds since 1970 UTC; digests are blobs of 32 bytes.
    R"sql(
CREATE TABLE tokens (
  secret_sha256 BLOB PRIMARY KEY,
  made_by TEXT NOT NULL,
  expires INTEGER NOT NULL,
  uses_left INTEGER NOT NULL,
  tags TEXT NOT NULL  -- separated by spaces
) STRICT;

CREATE TABLE devices (
  id TEXT PRIMARY KEY,
  name TEXT NOT NULL,
  tags TEXT NOT NULL,
  revoked INTEGER NOT NULL,
  enrolled INTEGER NOT NULL,
  last_seen INTEGER,
  token BLOB NOT NULL,
  certificate_request BLOB NOT NULL,
  report BLOB NOT NULL,  -- coordinator/core/device_report.h
  rounds_counted INTEGER NOT NULL
) STRICT;

CREATE TABLE models (
  name TEXT PRIMARY KEY,
  sha256 BLOB NOT NULL,
  size_bytes INTEGER NOT NULL,
  architecture TEXT NOT NULL,
  layers INTEGER NOT NULL,
  width INTEGER NOT NULL,
  heads INTEGER NOT NULL,
  kv_heads INTEGER NOT NULL,
  projections BLOB NOT NULL  -- in and out (u32) of each Projection
) STRICT;

CREATE TABLE tasks (
  name TEXT PRIMARY KEY,
  toml TEXT NOT NULL,
  paused INTEGER NOT NULL,
  head_version INTEGER NOT NULL,
  last_version INTEGER NOT NULL,
  releases BLOB NOT NULL,  -- versions (u32), the released one last
  rounds_started INTEGER NOT NULL,
  rounds_finished INTEGER NOT NULL
) STRICT;

CREATE TABLE versions (
  task TEXT NOT NULL,
  version INTEGER NOT NULL,
  parent INTEGER NOT NULL,
  hash BLOB NOT NULL,
  round TEXT NOT NULL,
  made INTEGER NOT NULL,
  update_sha256 BLOB NOT NULL,
  update_bytes INTEGER NOT NULL,
  snapshot_sha256 BLOB NOT NULL,
  snapshot_bytes INTEGER NOT NULL,
  PRIMARY KEY (task, version)
) STRICT;

CREATE TABLE pieces (
  sha256 BLOB NOT NULL UNIQUE,
  body BLOB NOT NULL
) STRICT;

CREATE TABLE server_states (
  task TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  residual BLOB NOT NULL,
  optimizer BLOB NOT NULL
) STRICT;

CREATE TABLE rounds (
  id TEXT PRIMARY KEY,
  task TEXT NOT NULL,
  number INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  from_version INTEGER NOT NULL,
  made_version INTEGER NOT NULL,
  needed INTEGER NOT NULL,
  invited INTEGER NOT NULL,
  counted INTEGER NOT NULL,
  declined INTEGER NOT NULL,
  total_weight REAL NOT NULL,
  mean_delta_norm REAL NOT NULL,
  started INTEGER NOT NULL,
  ended INTEGER,
  deadline INTEGER NOT NULL,
  bytes_up INTEGER NOT NULL DEFAULT 0,
  bytes_down INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX open_rounds ON rounds (id) WHERE ended IS NULL;
CREATE INDEX rounds_by_task ON rounds (task, number);
CREATE INDEX rounds_by_start ON rounds (started);

CREATE TABLE round_events (
  round TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  event BLOB NOT NULL,  -- coordinator/core/round_event.h
  PRIMARY KEY (round, sequence)
) STRICT, WITHOUT ROWID;

CREATE TABLE sums (
  round TEXT PRIMARY KEY,
  ring BLOB NOT NULL
) STRICT;

CREATE TABLE uploads (
  round TEXT NOT NULL,
  device TEXT NOT NULL,
  size INTEGER NOT NULL,
  sha256 BLOB NOT NULL,
  PRIMARY KEY (round, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE upload_chunks (
  round TEXT NOT NULL,
  device TEXT NOT NULL,
  position INTEGER NOT NULL,
  bytes BLOB NOT NULL,
  PRIMARY KEY (round, device, position)
) STRICT;

CREATE TABLE audit (
  sequence INTEGER PRIMARY KEY,
  time INTEGER NOT NULL,
  actor TEXT NOT NULL,
  action TEXT NOT NULL,
  detail TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;
)sql",
    // 2: cells of secure aggregation.
    R"sql(
CREATE TABLE cells (
  id TEXT PRIMARY KEY,
  round TEXT NOT NULL,
  number INTEGER NOT NULL,
  state TEXT NOT NULL,
  reason TEXT NOT NULL,
  seats INTEGER NOT NULL,
  counted INTEGER NOT NULL
) STRICT;
CREATE INDEX open_cells ON cells (id) WHERE state = 'open';
CREATE INDEX cells_by_round ON cells (round, number);

CREATE TABLE cell_events (
  cell TEXT NOT NULL,
  sequence INTEGER NOT NULL,
  event BLOB NOT NULL,  -- aggregation/secagg/session_event.h
  PRIMARY KEY (cell, sequence)
) STRICT, WITHOUT ROWID;
)sql",
    // 3: what sums with noise cost.
    R"sql(
CREATE TABLE cell_charges (
  cell TEXT PRIMARY KEY,
  task TEXT NOT NULL,
  round TEXT NOT NULL,
  charge BLOB NOT NULL  -- aggregation/privacy/privacy_charge.h
) STRICT;
CREATE INDEX cell_charges_by_task ON cell_charges (task);

CREATE TABLE charged_devices (
  task TEXT NOT NULL,
  device TEXT NOT NULL,
  cells INTEGER NOT NULL,
  PRIMARY KEY (task, device)
) STRICT, WITHOUT ROWID;
)sql",
    // 4: what the server carries of A, where A is trained.
    R"sql(
ALTER TABLE server_states ADD COLUMN a_residual BLOB NOT NULL DEFAULT x'';
ALTER TABLE server_states ADD COLUMN a_optimizer BLOB NOT NULL DEFAULT x'';
)sql",
    // 5: the server's control variates.
    R"sql(
ALTER TABLE server_states ADD COLUMN control BLOB NOT NULL DEFAULT x'';
ALTER TABLE server_states ADD COLUMN a_control BLOB NOT NULL DEFAULT x'';
)sql",
};

absl::StatusOr<int64_t> UserVersion(Database& database) {
  ASSIGN_OR_RETURN(Statement statement, database.Prepare("PRAGMA user_version"));
  RETURN_IF_ERROR(statement.Step().status());
  return statement.Int(0);
}

}  // namespace

absl::Status Migrate(Database& database) {
  ASSIGN_OR_RETURN(const int64_t version, UserVersion(database));
  const auto newest = static_cast<int64_t>(kMigrations.size());
  if (version > newest) {
    return absl::FailedPreconditionError(database.path() + " has schema " + std::to_string(version) +
                                         ", and this program knows schemas up to " + std::to_string(newest) +
                                         ": use a newer program");
  }
  for (int64_t step = version; step < newest; ++step) {
    RETURN_IF_ERROR(database.Write([&]() -> absl::Status {
      RETURN_IF_ERROR(database.Execute(kMigrations[static_cast<size_t>(step)]));
      return database.Execute("PRAGMA user_version = " + std::to_string(step + 1));
    }));
  }
  return absl::OkStatus();
}

}  // namespace fleetune
