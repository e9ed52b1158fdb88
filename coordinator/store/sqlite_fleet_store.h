#pragma once

#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "coordinator/core/fleet_store.h"

namespace fleetune {

class Database;

// The fleet's store in one SQLite file (STRICT tables, write-ahead log, every commit synced to disk).
// Not thread-safe: belongs to the fleet's strand.
class SqliteFleetStore final : public FleetStore {
 public:
  // Makes the file if there is none, and brings an older one to this schema. FailedPrecondition if it was
  // written by a newer program; DataLoss if it is no database; Unavailable (the system's error).
  static absl::StatusOr<std::unique_ptr<SqliteFleetStore>> Open(const std::string& path);
  ~SqliteFleetStore() override;

  absl::Status Write(absl::FunctionRef<absl::Status(FleetTransaction&)> body) override;
  absl::StatusOr<std::vector<TokenRecord>> Tokens() override;
  absl::StatusOr<std::vector<DeviceRecord>> Devices() override;
  absl::StatusOr<std::vector<BaseModel>> Models() override;
  absl::StatusOr<std::vector<TaskRecord>> Tasks() override;
  absl::StatusOr<std::vector<VersionRecord>> Versions(const std::string& task) override;
  absl::StatusOr<RoundRecord> FindRound(const std::string& id) override;
  absl::StatusOr<std::vector<RoundRecord>> OpenRounds() override;
  absl::StatusOr<std::vector<RoundRecord>> Rounds(const std::string& task, uint32_t limit) override;
  absl::StatusOr<std::vector<Bytes>> RoundEvents(const std::string& round) override;
  absl::StatusOr<CellRecord> FindCell(const std::string& id) override;
  absl::StatusOr<std::vector<CellRecord>> OpenCells() override;
  absl::StatusOr<std::vector<CellRecord>> Cells(const std::string& round) override;
  absl::StatusOr<std::vector<Bytes>> CellEvents(const std::string& cell) override;
  absl::StatusOr<std::vector<CellCharge>> CellCharges(const std::string& task) override;
  absl::StatusOr<uint32_t> MostCellsOfADevice(const std::string& task) override;
  absl::StatusOr<UploadRecord> FindUpload(const std::string& round, const std::string& device) override;
  absl::StatusOr<std::vector<uint32_t>> UploadChunks(const std::string& round, const std::string& device) override;
  absl::StatusOr<Bytes> ReadUpload(const std::string& round, const std::string& device) override;
  absl::StatusOr<RingVector> Sum(const std::string& round) override;
  absl::StatusOr<Bytes> ReadPiece(const Digest& sha256, uint64_t offset, uint64_t max_bytes) override;
  absl::StatusOr<ServerState> FindServerState(const std::string& task) override;
  absl::StatusOr<std::vector<AuditRecord>> Audit(uint64_t after_sequence, uint32_t limit) override;
  absl::StatusOr<AuditRecord> LastAudit() override;
  uint64_t DatabaseBytes() const override;
  absl::Status Backup(const std::string& path) override;

 private:
  // The blobs of one column, bound to a round or a cell.
  absl::StatusOr<std::vector<Bytes>> Events(const char* sql, const std::string& of);
  explicit SqliteFleetStore(std::unique_ptr<Database> database);
  std::unique_ptr<Database> database_;
};

}  // namespace fleetune
