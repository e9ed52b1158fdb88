#include "coordinator/store/sqlite_fleet_store.h"

#include <algorithm>
#include <utility>

#include "base/status_macros.h"
#include "coordinator/store/database.h"
#include "coordinator/store/migrations.h"
#include "coordinator/store/packed_values.h"
#include "coordinator/store/sqlite_fleet_transaction.h"

namespace fleetune {

SqliteFleetStore::SqliteFleetStore(std::unique_ptr<Database> database) : database_(std::move(database)) {}
SqliteFleetStore::~SqliteFleetStore() = default;

absl::StatusOr<std::unique_ptr<SqliteFleetStore>> SqliteFleetStore::Open(const std::string& path) {
  ASSIGN_OR_RETURN(std::unique_ptr<Database> database, Database::Open(path));
  RETURN_IF_ERROR(Migrate(*database));
  return std::unique_ptr<SqliteFleetStore>(new SqliteFleetStore(std::move(database)));
}

absl::Status SqliteFleetStore::Write(absl::FunctionRef<absl::Status(FleetTransaction&)> body) {
  return database_->Write([&] {
    SqliteFleetTransaction transaction(*database_);
    return body(transaction);
  });
}

absl::StatusOr<std::vector<Bytes>> SqliteFleetStore::RoundEvents(const std::string& round) {
  return Events("SELECT event FROM round_events WHERE round = ? ORDER BY sequence", round);
}

absl::StatusOr<std::vector<Bytes>> SqliteFleetStore::CellEvents(const std::string& cell) {
  return Events("SELECT event FROM cell_events WHERE cell = ? ORDER BY sequence", cell);
}

absl::StatusOr<std::vector<Bytes>> SqliteFleetStore::Events(const char* sql, const std::string& of) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare(sql));
  statement.Bind(of);
  std::vector<Bytes> events;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return events;
    const std::span<const uint8_t> event = statement.Blob(0);
    events.emplace_back(event.begin(), event.end());
  }
}

absl::StatusOr<UploadRecord> SqliteFleetStore::FindUpload(const std::string& round, const std::string& device) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_->Prepare("SELECT size, sha256 FROM uploads WHERE round = ? AND device = ?"));
  ASSIGN_OR_RETURN(const bool row, statement.Bind(round).Bind(device).Step());
  if (!row) return absl::NotFoundError("no upload of device " + device + " in round " + round);
  UploadRecord upload{.round = round, .device = device, .size = statement.Unsigned(0), .sha256 = {}};
  ASSIGN_OR_RETURN(upload.sha256, statement.ReadDigest(1));
  return upload;
}

absl::StatusOr<std::vector<uint32_t>> SqliteFleetStore::UploadChunks(const std::string& round,
                                                                     const std::string& device) {
  ASSIGN_OR_RETURN(
      Statement statement,
      database_->Prepare("SELECT position FROM upload_chunks WHERE round = ? AND device = ? ORDER BY position"));
  statement.Bind(round).Bind(device);
  std::vector<uint32_t> chunks;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return chunks;
    chunks.push_back(statement.Small(0));
  }
}

absl::StatusOr<Bytes> SqliteFleetStore::ReadUpload(const std::string& round, const std::string& device) {
  ASSIGN_OR_RETURN(
      Statement statement,
      database_->Prepare("SELECT bytes FROM upload_chunks WHERE round = ? AND device = ? ORDER BY position"));
  statement.Bind(round).Bind(device);
  Bytes bytes;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return bytes;
    const std::span<const uint8_t> chunk = statement.Blob(0);
    bytes.insert(bytes.end(), chunk.begin(), chunk.end());
  }
}

absl::StatusOr<RingVector> SqliteFleetStore::Sum(const std::string& round) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT ring FROM sums WHERE round = ?"));
  ASSIGN_OR_RETURN(const bool row, statement.Bind(round).Step());
  if (!row) return absl::NotFoundError("nothing is summed yet in round " + round);
  return UnpackedValues<uint32_t>(statement.Blob(0), "sum");
}

absl::StatusOr<Bytes> SqliteFleetStore::ReadPiece(const Digest& sha256, uint64_t offset, uint64_t max_bytes) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT rowid FROM pieces WHERE sha256 = ?"));
  ASSIGN_OR_RETURN(const bool row, statement.Bind(sha256).Step());
  if (!row) return absl::NotFoundError("there is no piece " + sha256.ToHex());
  return database_->ReadBlobPart(
      {.table = "pieces", .column = "body", .row = statement.Int(0), .offset = offset, .max_bytes = max_bytes});
}

absl::StatusOr<ServerState> SqliteFleetStore::FindServerState(const std::string& task) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_->Prepare("SELECT version, residual, optimizer, control, a_residual, a_optimizer, "
                                      "a_control FROM server_states WHERE task = ?"));
  ASSIGN_OR_RETURN(const bool row, statement.Bind(task).Step());
  if (!row) return absl::NotFoundError("no version of task " + task + " was made yet");
  const auto factor = [&](int first) -> absl::StatusOr<FactorState> {
    FactorState state;
    ASSIGN_OR_RETURN(state.residual, UnpackedValues<float>(statement.Blob(first), "residual"));
    const std::span<const uint8_t> optimizer = statement.Blob(first + 1);
    state.optimizer.assign(optimizer.begin(), optimizer.end());
    ASSIGN_OR_RETURN(state.control, UnpackedValues<float>(statement.Blob(first + 2), "control variate"));
    return state;
  };
  ServerState state;
  state.version = statement.Small(0);
  ASSIGN_OR_RETURN(state.b, factor(1));
  ASSIGN_OR_RETURN(state.a, factor(4));
  return state;
}

uint64_t SqliteFleetStore::DatabaseBytes() const { return database_->SizeBytes(); }
absl::Status SqliteFleetStore::Backup(const std::string& path) { return database_->Backup(path); }

}  // namespace fleetune
