#pragma once

#include <string>

#include "coordinator/core/fleet_store.h"
#include "coordinator/store/database.h"

namespace fleetune {

// The writes of SqliteFleetStore. Lives inside Database::Write.
class SqliteFleetTransaction final : public FleetTransaction {
 public:
  explicit SqliteFleetTransaction(Database& database) : database_(database) {}

  absl::Status PutToken(const TokenRecord& token) override;
  absl::Status PutDevice(const DeviceRecord& device) override;
  absl::Status PutModel(const BaseModel& model) override;
  absl::Status PutTask(const TaskRecord& task) override;
  absl::Status PutRound(const RoundRecord& round) override;
  absl::Status SetRoundBytes(const std::string& round, uint64_t up, uint64_t down) override;
  absl::Status AppendRoundEvent(const std::string& round, uint32_t sequence, std::span<const uint8_t> event) override;
  absl::Status PutCell(const CellRecord& cell) override;
  absl::Status AppendCellEvent(const std::string& cell, uint32_t sequence, std::span<const uint8_t> event) override;
  absl::Status DeleteCellEvents(const std::string& cell) override;
  absl::Status PutCellCharge(const CellCharge& charge) override;
  absl::Status PutUpload(const UploadRecord& upload) override;
  absl::Status PutUploadChunk(const std::string& round, const std::string& device, uint32_t index,
                              std::span<const uint8_t> chunk) override;
  absl::Status DeleteUpload(const std::string& round, const std::string& device) override;
  absl::Status DeleteUploads(const std::string& round) override;
  absl::Status PutSum(const std::string& round, const RingVector& sum) override;
  absl::Status DeleteSum(const std::string& round) override;
  absl::Status PutVersion(const VersionRecord& version, std::span<const uint8_t> update,
                          std::span<const uint8_t> snapshot) override;
  absl::Status PutServerState(const std::string& task, const ServerState& state) override;
  absl::Status AppendAudit(const AuditRecord& record) override;

 private:
  absl::Status PutPiece(const Digest& sha256, std::span<const uint8_t> body);

  Database& database_;
};

}  // namespace fleetune
