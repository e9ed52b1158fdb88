// Rows as records: what the coordinator reads when it starts, and its lists.

#include <algorithm>
#include <sstream>
#include <utility>

#include "absl/functional/function_ref.h"
#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/store/database.h"
#include "coordinator/store/packed_values.h"
#include "coordinator/store/sqlite_fleet_store.h"

namespace fleetune {
namespace {

std::vector<std::string> SplitTags(const std::string& text) {
  std::istringstream in(text);
  std::vector<std::string> tags;
  for (std::string tag; in >> tag;) tags.push_back(tag);
  return tags;
}

// Every row of a bound statement through `read`.
template <typename Record>
absl::StatusOr<std::vector<Record>> AllRows(Statement& statement,
                                            absl::FunctionRef<absl::StatusOr<Record>(const Statement&)> read) {
  std::vector<Record> records;
  for (;;) {
    ASSIGN_OR_RETURN(const bool row, statement.Step());
    if (!row) return records;
    ASSIGN_OR_RETURN(Record record, read(statement));
    records.push_back(std::move(record));
  }
}

absl::StatusOr<TokenRecord> ReadToken(const Statement& row) {
  TokenRecord token;
  ASSIGN_OR_RETURN(token.secret_sha256, row.ReadDigest(0));
  token.made_by = row.Text(1);
  token.expires = row.Time(2);
  token.uses_left = row.Small(3);
  token.tags = SplitTags(row.Text(4));
  return token;
}

absl::StatusOr<DeviceRecord> ReadDevice(const Statement& row) {
  DeviceRecord device;
  device.id = row.Text(0);
  device.name = row.Text(1);
  device.tags = SplitTags(row.Text(2));
  device.revoked = row.Int(3) != 0;
  device.enrolled = row.Time(4);
  if (!row.IsNull(5)) device.last_seen = row.Time(5);
  ASSIGN_OR_RETURN(device.token, row.ReadDigest(6));
  ASSIGN_OR_RETURN(device.certificate_request, row.ReadDigest(7));
  ASSIGN_OR_RETURN(device.report, DecodeDeviceReport(row.Blob(8)));
  device.rounds_counted = row.Unsigned(9);
  return device;
}

absl::StatusOr<BaseModel> ReadModel(const Statement& row) {
  BaseModel model;
  model.name = row.Text(0);
  ASSIGN_OR_RETURN(model.sha256, row.ReadDigest(1));
  model.size_bytes = row.Unsigned(2);
  model.architecture = row.Text(3);
  model.layers = row.Small(4);
  model.width = row.Small(5);
  model.heads = row.Small(6);
  model.kv_heads = row.Small(7);
  ASSIGN_OR_RETURN(const std::vector<uint32_t> sizes, UnpackedValues<uint32_t>(row.Blob(8), "projections"));
  model.sizes.layers = model.layers;
  auto& projections = model.sizes.projections;
  if (sizes.size() != 2 * projections.size()) {
    return absl::DataLossError("stored model " + model.name + ": expected " + std::to_string(2 * projections.size()) +
                               " sizes, got " + std::to_string(sizes.size()));
  }
  for (size_t i = 0; i < projections.size(); ++i) projections[i] = {.in = sizes[2 * i], .out = sizes[2 * i + 1]};
  return model;
}

absl::StatusOr<TaskRecord> ReadTask(const Statement& row) {
  TaskRecord task;
  task.name = row.Text(0);
  task.toml = row.Text(1);
  task.paused = row.Int(2) != 0;
  task.head_version = row.Small(3);
  task.last_version = row.Small(4);
  ASSIGN_OR_RETURN(task.releases, UnpackedValues<uint32_t>(row.Blob(5), "releases"));
  if (task.releases.empty()) return absl::DataLossError("stored task " + task.name + " has no released version");
  task.rounds_started = row.Small(6);
  task.rounds_finished = row.Small(7);
  return task;
}

absl::StatusOr<VersionRecord> ReadVersion(const Statement& row) {
  VersionRecord version;
  version.task = row.Text(0);
  version.version = row.Small(1);
  version.parent = row.Small(2);
  ASSIGN_OR_RETURN(version.hash, row.ReadDigest(3));
  version.round = row.Text(4);
  version.made = row.Time(5);
  ASSIGN_OR_RETURN(version.update_sha256, row.ReadDigest(6));
  version.update_bytes = row.Unsigned(7);
  ASSIGN_OR_RETURN(version.snapshot_sha256, row.ReadDigest(8));
  version.snapshot_bytes = row.Unsigned(9);
  return version;
}

absl::StatusOr<CellRecord> ReadCell(const Statement& row) {
  return CellRecord{.id = row.Text(0),
                    .round = row.Text(1),
                    .number = row.Small(2),
                    .state = row.Text(3),
                    .reason = row.Text(4),
                    .seats = row.Small(5),
                    .counted = row.Small(6)};
}

absl::StatusOr<CellCharge> ReadCellCharge(const Statement& row) {
  const std::span<const uint8_t> charge = row.Blob(3);
  return CellCharge{.cell = row.Text(0),
                    .task = row.Text(1),
                    .round = row.Text(2),
                    .charge = {charge.begin(), charge.end()},
                    .devices = {}};
}

absl::StatusOr<RoundRecord> ReadRound(const Statement& row) {
  RoundRecord round;
  round.id = row.Text(0);
  round.task = row.Text(1);
  round.number = row.Small(2);
  round.state = row.Text(3);
  round.reason = row.Text(4);
  round.from_version = row.Small(5);
  round.made_version = row.Small(6);
  round.needed = row.Small(7);
  round.invited = row.Small(8);
  round.counted = row.Small(9);
  round.declined = row.Small(10);
  round.total_weight = row.Real(11);
  round.mean_delta_norm = row.Real(12);
  round.started = row.Time(13);
  if (!row.IsNull(14)) round.ended = row.Time(14);
  round.deadline = row.Time(15);
  round.bytes_up = row.Unsigned(16);
  round.bytes_down = row.Unsigned(17);
  return round;
}

absl::StatusOr<AuditRecord> ReadAudit(const Statement& row) {
  AuditRecord record;
  record.sequence = row.Unsigned(0);
  record.time = row.Time(1);
  record.actor = row.Text(2);
  record.action = row.Text(3);
  record.detail = row.Text(4);
  ASSIGN_OR_RETURN(record.hash, row.ReadDigest(5));
  return record;
}

}  // namespace

absl::StatusOr<std::vector<TokenRecord>> SqliteFleetStore::Tokens() {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM tokens"));
  return AllRows<TokenRecord>(statement, ReadToken);
}

absl::StatusOr<std::vector<DeviceRecord>> SqliteFleetStore::Devices() {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM devices"));
  return AllRows<DeviceRecord>(statement, ReadDevice);
}

absl::StatusOr<std::vector<BaseModel>> SqliteFleetStore::Models() {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM models"));
  return AllRows<BaseModel>(statement, ReadModel);
}

absl::StatusOr<std::vector<TaskRecord>> SqliteFleetStore::Tasks() {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM tasks"));
  return AllRows<TaskRecord>(statement, ReadTask);
}

absl::StatusOr<std::vector<VersionRecord>> SqliteFleetStore::Versions(const std::string& task) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM versions WHERE task = ? ORDER BY version"));
  statement.Bind(task);
  return AllRows<VersionRecord>(statement, ReadVersion);
}

absl::StatusOr<RoundRecord> SqliteFleetStore::FindRound(const std::string& id) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM rounds WHERE id = ?"));
  ASSIGN_OR_RETURN(const bool row, statement.Bind(id).Step());
  if (!row) return absl::NotFoundError("there is no round \"" + id + "\"");
  return ReadRound(statement);
}

absl::StatusOr<std::vector<RoundRecord>> SqliteFleetStore::OpenRounds() {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM rounds WHERE ended IS NULL ORDER BY id"));
  return AllRows<RoundRecord>(statement, ReadRound);
}

absl::StatusOr<std::vector<RoundRecord>> SqliteFleetStore::Rounds(const std::string& task, uint32_t limit) {
  ASSIGN_OR_RETURN(
      Statement statement,
      database_->Prepare(task.empty() ? "SELECT * FROM rounds WHERE ? = '' ORDER BY started DESC, id DESC LIMIT ?"
                                      : "SELECT * FROM rounds WHERE task = ? ORDER BY number DESC LIMIT ?"));
  statement.Bind(task).Bind(limit);
  return AllRows<RoundRecord>(statement, ReadRound);
}

absl::StatusOr<CellRecord> SqliteFleetStore::FindCell(const std::string& id) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM cells WHERE id = ?"));
  ASSIGN_OR_RETURN(const bool row, statement.Bind(id).Step());
  if (!row) return absl::NotFoundError("there is no cell \"" + id + "\"");
  return ReadCell(statement);
}

absl::StatusOr<std::vector<CellRecord>> SqliteFleetStore::Cells(const std::string& round) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM cells WHERE round = ? ORDER BY number"));
  statement.Bind(round);
  return AllRows<CellRecord>(statement, ReadCell);
}

absl::StatusOr<std::vector<CellRecord>> SqliteFleetStore::OpenCells() {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM cells WHERE state = 'open' ORDER BY id"));
  return AllRows<CellRecord>(statement, ReadCell);
}

absl::StatusOr<std::vector<CellCharge>> SqliteFleetStore::CellCharges(const std::string& task) {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM cell_charges WHERE task = ? ORDER BY cell"));
  statement.Bind(task);
  return AllRows<CellCharge>(statement, ReadCellCharge);
}

absl::StatusOr<uint32_t> SqliteFleetStore::MostCellsOfADevice(const std::string& task) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_->Prepare("SELECT coalesce(max(cells), 0) FROM charged_devices WHERE task = ?"));
  RETURN_IF_ERROR(statement.Bind(task).Step().status());
  return statement.Small(0);
}

absl::StatusOr<std::vector<AuditRecord>> SqliteFleetStore::Audit(uint64_t after_sequence, uint32_t limit) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_->Prepare("SELECT * FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?"));
  statement.Bind(int64_t(std::min<uint64_t>(after_sequence, INT64_MAX))).Bind(limit);
  return AllRows<AuditRecord>(statement, ReadAudit);
}

absl::StatusOr<AuditRecord> SqliteFleetStore::LastAudit() {
  ASSIGN_OR_RETURN(Statement statement, database_->Prepare("SELECT * FROM audit ORDER BY sequence DESC LIMIT 1"));
  ASSIGN_OR_RETURN(const bool row, statement.Step());
  if (!row) return absl::NotFoundError("the audit log is empty");
  return ReadAudit(statement);
}

}  // namespace fleetune
