#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "coordinator/core/fleet_store.h"

namespace fleetune {

enum class WriteFault {
  kNone,
  kLost,       // answers Unavailable, nothing was written
  kUncertain,  // answers Unavailable, although all was written
};

// A FleetStore whose writes fail as a test wants; reads go through. Borrows the store behind it.
class FaultyFleetStore final : public FleetStore {
 public:
  explicit FaultyFleetStore(FleetStore& store) : store_(&store) {}

  // Another one behind it from now on: for instance the same file, opened again.
  void Use(FleetStore& store) { store_ = &store; }

  // Asked before each write; its number counts from 0.
  std::function<WriteFault(uint64_t)> fault = [](uint64_t) { return WriteFault::kNone; };
  uint64_t writes = 0;
  // Told after each write that took effect; the writer hears what it returns. May look into the store behind.
  std::function<absl::Status(const absl::Status&)> written = [](const absl::Status& heard) { return heard; };

  absl::Status Write(absl::FunctionRef<absl::Status(FleetTransaction&)> body) override {
    const WriteFault happens = fault(writes++);
    if (happens == WriteFault::kLost) return absl::UnavailableError("the disk said no");
    const absl::Status status = store_->Write(body);
    if (!status.ok()) return status;
    return written(happens == WriteFault::kUncertain ? absl::UnavailableError("the disk said nothing") : status);
  }

  absl::StatusOr<std::vector<TokenRecord>> Tokens() override { return store_->Tokens(); }
  absl::StatusOr<std::vector<DeviceRecord>> Devices() override { return store_->Devices(); }
  absl::StatusOr<std::vector<BaseModel>> Models() override { return store_->Models(); }
  absl::StatusOr<std::vector<TaskRecord>> Tasks() override { return store_->Tasks(); }
  absl::StatusOr<std::vector<VersionRecord>> Versions(const std::string& task) override {
    return store_->Versions(task);
  }
  absl::StatusOr<RoundRecord> FindRound(const std::string& id) override { return store_->FindRound(id); }
  absl::StatusOr<std::vector<RoundRecord>> OpenRounds() override { return store_->OpenRounds(); }
  absl::StatusOr<std::vector<RoundRecord>> Rounds(const std::string& task, uint32_t limit) override {
    return store_->Rounds(task, limit);
  }
  absl::StatusOr<std::vector<Bytes>> RoundEvents(const std::string& round) override {
    return store_->RoundEvents(round);
  }
  absl::StatusOr<CellRecord> FindCell(const std::string& id) override { return store_->FindCell(id); }
  absl::StatusOr<std::vector<CellRecord>> OpenCells() override { return store_->OpenCells(); }
  absl::StatusOr<std::vector<CellCharge>> CellCharges(const std::string& task) override {
    return store_->CellCharges(task);
  }
  absl::StatusOr<uint32_t> MostCellsOfADevice(const std::string& task) override {
    return store_->MostCellsOfADevice(task);
  }
  absl::StatusOr<std::vector<CellRecord>> Cells(const std::string& round) override { return store_->Cells(round); }
  absl::StatusOr<std::vector<Bytes>> CellEvents(const std::string& cell) override { return store_->CellEvents(cell); }
  absl::StatusOr<UploadRecord> FindUpload(const std::string& round, const std::string& device) override {
    return store_->FindUpload(round, device);
  }
  absl::StatusOr<std::vector<uint32_t>> UploadChunks(const std::string& round, const std::string& device) override {
    return store_->UploadChunks(round, device);
  }
  absl::StatusOr<Bytes> ReadUpload(const std::string& round, const std::string& device) override {
    return store_->ReadUpload(round, device);
  }
  absl::StatusOr<RingVector> Sum(const std::string& round) override { return store_->Sum(round); }
  absl::StatusOr<Bytes> ReadPiece(const Digest& sha256, uint64_t offset, uint64_t max_bytes) override {
    return store_->ReadPiece(sha256, offset, max_bytes);
  }
  absl::StatusOr<ServerState> FindServerState(const std::string& task) override {
    return store_->FindServerState(task);
  }
  absl::StatusOr<std::vector<AuditRecord>> Audit(uint64_t after_sequence, uint32_t limit) override {
    return store_->Audit(after_sequence, limit);
  }
  absl::StatusOr<AuditRecord> LastAudit() override { return store_->LastAudit(); }
  uint64_t DatabaseBytes() const override { return store_->DatabaseBytes(); }
  absl::Status Backup(const std::string& path) override { return store_->Backup(path); }

 private:
  FleetStore* store_;
};

}  // namespace fleetune
