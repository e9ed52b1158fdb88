#include "coordinator/store/sqlite_fleet_transaction.h"

#include "base/status_macros.h"
#include "coordinator/core/device_report.h"
#include "coordinator/store/packed_values.h"

namespace fleetune {
namespace {

// Tags hold no spaces (IsDeviceTag).
std::string JoinTags(const std::vector<std::string>& tags) {
  std::string text;
  for (const std::string& tag : tags) text += (text.empty() ? "" : " ") + tag;
  return text;
}

// A sequence that is taken: somebody else wrote since this writer read.
absl::Status AsStale(const absl::Status& status) {
  if (!absl::IsAlreadyExists(status)) return status;
  return absl::UnavailableError("the store has changed: " + std::string(status.message()));
}

}  // namespace

absl::Status SqliteFleetTransaction::PutToken(const TokenRecord& token) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT OR REPLACE INTO tokens VALUES (?, ?, ?, ?, ?)"));
  const std::string tags = JoinTags(token.tags);
  return statement.Bind(token.secret_sha256)
      .Bind(token.made_by)
      .Bind(token.expires)
      .Bind(token.uses_left)
      .Bind(tags)
      .Run();
}

absl::Status SqliteFleetTransaction::PutDevice(const DeviceRecord& device) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_.Prepare("INSERT OR REPLACE INTO devices VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  const std::string tags = JoinTags(device.tags);
  const Bytes report = EncodeDeviceReport(device.report);
  statement.Bind(device.id).Bind(device.name).Bind(tags).Bind(device.revoked).Bind(device.enrolled);
  device.last_seen ? statement.Bind(*device.last_seen) : statement.BindNull();
  return statement.Bind(device.token)
      .Bind(device.certificate_request)
      .Bind(std::span<const uint8_t>(report))
      .Bind(device.rounds_counted)
      .Run();
}

absl::Status SqliteFleetTransaction::PutModel(const BaseModel& model) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_.Prepare("INSERT OR REPLACE INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  std::vector<uint32_t> sizes;
  for (const ProjectionSizes& projection : model.sizes.projections) {
    sizes.insert(sizes.end(), {projection.in, projection.out});
  }
  return statement.Bind(model.name)
      .Bind(model.sha256)
      .Bind(model.size_bytes)
      .Bind(model.architecture)
      .Bind(model.layers)
      .Bind(model.width)
      .Bind(model.heads)
      .Bind(model.kv_heads)
      .Bind(PackedBytes(sizes))
      .Run();
}

absl::Status SqliteFleetTransaction::PutTask(const TaskRecord& task) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_.Prepare("INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  return statement.Bind(task.name)
      .Bind(task.toml)
      .Bind(task.paused)
      .Bind(task.head_version)
      .Bind(task.last_version)
      .Bind(PackedBytes(task.releases))
      .Bind(task.rounds_started)
      .Bind(task.rounds_finished)
      .Run();
}

absl::Status SqliteFleetTransaction::PutRound(const RoundRecord& round) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare(R"sql(
      INSERT INTO rounds (id, task, number, state, reason, from_version, made_version, needed, invited, counted,
                          declined, total_weight, mean_delta_norm, started, ended, deadline)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, made_version = excluded.made_version,
        invited = excluded.invited, counted = excluded.counted, declined = excluded.declined,
        total_weight = excluded.total_weight, mean_delta_norm = excluded.mean_delta_norm, ended = excluded.ended,
        deadline = excluded.deadline)sql"));
  statement.Bind(round.id)
      .Bind(round.task)
      .Bind(round.number)
      .Bind(round.state)
      .Bind(round.reason)
      .Bind(round.from_version)
      .Bind(round.made_version)
      .Bind(round.needed)
      .Bind(round.invited)
      .Bind(round.counted)
      .Bind(round.declined)
      .Bind(round.total_weight)
      .Bind(round.mean_delta_norm)
      .Bind(round.started);
  round.ended ? statement.Bind(*round.ended) : statement.BindNull();
  return statement.Bind(round.deadline).Run();
}

absl::Status SqliteFleetTransaction::SetRoundBytes(const std::string& round, uint64_t up, uint64_t down) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_.Prepare("UPDATE rounds SET bytes_up = ?, bytes_down = ? WHERE id = ?"));
  return statement.Bind(up).Bind(down).Bind(round).Run();
}

absl::Status SqliteFleetTransaction::AppendRoundEvent(const std::string& round, uint32_t sequence,
                                                      std::span<const uint8_t> event) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT INTO round_events VALUES (?, ?, ?)"));
  return AsStale(statement.Bind(round).Bind(sequence).Bind(event).Run());
}

absl::Status SqliteFleetTransaction::PutCell(const CellRecord& cell) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT OR REPLACE INTO cells VALUES (?, ?, ?, ?, ?, ?, ?)"));
  return statement.Bind(cell.id)
      .Bind(cell.round)
      .Bind(cell.number)
      .Bind(cell.state)
      .Bind(cell.reason)
      .Bind(cell.seats)
      .Bind(cell.counted)
      .Run();
}

absl::Status SqliteFleetTransaction::AppendCellEvent(const std::string& cell, uint32_t sequence,
                                                     std::span<const uint8_t> event) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT INTO cell_events VALUES (?, ?, ?)"));
  return AsStale(statement.Bind(cell).Bind(sequence).Bind(event).Run());
}

absl::Status SqliteFleetTransaction::DeleteCellEvents(const std::string& cell) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("DELETE FROM cell_events WHERE cell = ?"));
  return statement.Bind(cell).Run();
}

absl::Status SqliteFleetTransaction::PutCellCharge(const CellCharge& charge) {
  ASSIGN_OR_RETURN(Statement cell, database_.Prepare("INSERT INTO cell_charges VALUES (?, ?, ?, ?)"));
  RETURN_IF_ERROR(cell.Bind(charge.cell)
                      .Bind(charge.task)
                      .Bind(charge.round)
                      .Bind(std::span<const uint8_t>(charge.charge))
                      .Run());
  for (const std::string& device : charge.devices) {
    ASSIGN_OR_RETURN(Statement count, database_.Prepare("INSERT INTO charged_devices VALUES (?, ?, 1) "
                                                        "ON CONFLICT (task, device) DO UPDATE SET cells = cells + 1"));
    RETURN_IF_ERROR(count.Bind(charge.task).Bind(device).Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteFleetTransaction::PutUpload(const UploadRecord& upload) {
  RETURN_IF_ERROR(DeleteUpload(upload.round, upload.device));
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT INTO uploads VALUES (?, ?, ?, ?)"));
  return statement.Bind(upload.round).Bind(upload.device).Bind(upload.size).Bind(upload.sha256).Run();
}

absl::Status SqliteFleetTransaction::PutUploadChunk(const std::string& round, const std::string& device, uint32_t index,
                                                    std::span<const uint8_t> chunk) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT OR REPLACE INTO upload_chunks VALUES (?, ?, ?, ?)"));
  return statement.Bind(round).Bind(device).Bind(index).Bind(chunk).Run();
}

absl::Status SqliteFleetTransaction::DeleteUpload(const std::string& round, const std::string& device) {
  for (const char* sql : {"DELETE FROM upload_chunks WHERE round = ? AND device = ?",
                          "DELETE FROM uploads WHERE round = ? AND device = ?"}) {
    ASSIGN_OR_RETURN(Statement statement, database_.Prepare(sql));
    RETURN_IF_ERROR(statement.Bind(round).Bind(device).Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteFleetTransaction::DeleteUploads(const std::string& round) {
  for (const char* sql : {"DELETE FROM upload_chunks WHERE round = ?", "DELETE FROM uploads WHERE round = ?"}) {
    ASSIGN_OR_RETURN(Statement statement, database_.Prepare(sql));
    RETURN_IF_ERROR(statement.Bind(round).Run());
  }
  return absl::OkStatus();
}

absl::Status SqliteFleetTransaction::PutSum(const std::string& round, const RingVector& sum) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT OR REPLACE INTO sums VALUES (?, ?)"));
  return statement.Bind(round).Bind(PackedBytes(sum)).Run();
}

absl::Status SqliteFleetTransaction::DeleteSum(const std::string& round) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("DELETE FROM sums WHERE round = ?"));
  return statement.Bind(round).Run();
}

absl::Status SqliteFleetTransaction::PutPiece(const Digest& sha256, std::span<const uint8_t> body) {
  if (body.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT OR IGNORE INTO pieces VALUES (?, ?)"));
  return statement.Bind(sha256).Bind(body).Run();
}

absl::Status SqliteFleetTransaction::PutVersion(const VersionRecord& version, std::span<const uint8_t> update,
                                                std::span<const uint8_t> snapshot) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_.Prepare("INSERT OR REPLACE INTO versions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"));
  RETURN_IF_ERROR(statement.Bind(version.task)
                      .Bind(version.version)
                      .Bind(version.parent)
                      .Bind(version.hash)
                      .Bind(version.round)
                      .Bind(version.made)
                      .Bind(version.update_sha256)
                      .Bind(version.update_bytes)
                      .Bind(version.snapshot_sha256)
                      .Bind(version.snapshot_bytes)
                      .Run());
  RETURN_IF_ERROR(PutPiece(version.update_sha256, update));
  return PutPiece(version.snapshot_sha256, snapshot);
}

absl::Status SqliteFleetTransaction::PutServerState(const std::string& task, const ServerState& state) {
  ASSIGN_OR_RETURN(Statement statement,
                   database_.Prepare("INSERT OR REPLACE INTO server_states VALUES (?, ?, ?, ?, ?, ?, ?, ?)"));
  return statement.Bind(task)
      .Bind(state.version)
      .Bind(PackedBytes(state.b.residual))
      .Bind(std::span<const uint8_t>(state.b.optimizer))
      .Bind(PackedBytes(state.a.residual))
      .Bind(std::span<const uint8_t>(state.a.optimizer))
      .Bind(PackedBytes(state.b.control))
      .Bind(PackedBytes(state.a.control))
      .Run();
}

absl::Status SqliteFleetTransaction::AppendAudit(const AuditRecord& record) {
  ASSIGN_OR_RETURN(Statement statement, database_.Prepare("INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?)"));
  return AsStale(statement.Bind(record.sequence)
                     .Bind(record.time)
                     .Bind(record.actor)
                     .Bind(record.action)
                     .Bind(record.detail)
                     .Bind(record.hash)
                     .Run());
}

}  // namespace fleetune
