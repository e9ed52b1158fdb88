#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "coordinator/core/fleet_store.h"

namespace fleetune {

// A FleetStore in memory, for tests: what a SQLite file keeps, and what survives a Fleet. A transaction works on
// a copy, so one that fails leaves nothing.
class MemoryFleetStore final : public FleetStore {
 public:
  absl::Status Write(absl::FunctionRef<absl::Status(FleetTransaction&)> body) override {
    Tables after = tables_;
    Transaction transaction(after);
    const absl::Status status = body(transaction);
    if (status.ok()) tables_ = std::move(after);
    return status;
  }

  absl::StatusOr<std::vector<TokenRecord>> Tokens() override { return ValuesOf(tables_.tokens); }
  absl::StatusOr<std::vector<DeviceRecord>> Devices() override { return ValuesOf(tables_.devices); }
  absl::StatusOr<std::vector<BaseModel>> Models() override { return ValuesOf(tables_.models); }
  absl::StatusOr<std::vector<TaskRecord>> Tasks() override { return ValuesOf(tables_.tasks); }
  absl::StatusOr<std::vector<VersionRecord>> Versions(const std::string& task) override {
    std::vector<VersionRecord> versions;
    for (const auto& [key, version] : tables_.versions) {
      if (key.first == task) versions.push_back(version);
    }
    return versions;
  }
  absl::StatusOr<RoundRecord> FindRound(const std::string& id) override { return Find(tables_.rounds, id); }
  absl::StatusOr<std::vector<RoundRecord>> OpenRounds() override {
    std::vector<RoundRecord> open = ValuesOf(tables_.rounds);
    std::erase_if(open, [](const RoundRecord& round) { return round.ended.has_value(); });
    return open;
  }
  absl::StatusOr<std::vector<RoundRecord>> Rounds(const std::string& task, uint32_t limit) override {
    std::vector<RoundRecord> rounds = ValuesOf(tables_.rounds);
    std::erase_if(rounds, [&](const RoundRecord& round) { return !task.empty() && round.task != task; });
    std::ranges::sort(rounds, [](const RoundRecord& a, const RoundRecord& b) {
      return std::pair(a.started, a.number) > std::pair(b.started, b.number);
    });
    if (rounds.size() > limit) rounds.resize(limit);
    return rounds;
  }
  absl::StatusOr<std::vector<Bytes>> RoundEvents(const std::string& round) override {
    std::vector<Bytes> events;
    for (const auto& [key, event] : tables_.events) {
      if (key.first == round) events.push_back(event);
    }
    return events;
  }
  absl::StatusOr<CellRecord> FindCell(const std::string& id) override { return Find(tables_.cells, id); }
  absl::StatusOr<std::vector<CellRecord>> OpenCells() override {
    std::vector<CellRecord> open = ValuesOf(tables_.cells);
    std::erase_if(open, [](const CellRecord& cell) { return cell.state != "open"; });
    return open;
  }
  absl::StatusOr<std::vector<CellCharge>> CellCharges(const std::string& task) override {
    std::vector<CellCharge> charges = ValuesOf(tables_.cell_charges);
    std::erase_if(charges, [&](const CellCharge& charge) { return charge.task != task; });
    return charges;
  }
  absl::StatusOr<uint32_t> MostCellsOfADevice(const std::string& task) override {
    uint32_t most = 0;
    for (const auto& [key, cells] : tables_.charged_devices) {
      if (key.first == task) most = std::max(most, cells);
    }
    return most;
  }
  absl::StatusOr<std::vector<CellRecord>> Cells(const std::string& round) override {
    std::vector<CellRecord> cells = ValuesOf(tables_.cells);
    std::erase_if(cells, [&](const CellRecord& cell) { return cell.round != round; });
    std::ranges::sort(cells, {}, &CellRecord::number);
    return cells;
  }
  absl::StatusOr<std::vector<Bytes>> CellEvents(const std::string& cell) override {
    std::vector<Bytes> events;
    for (const auto& [key, event] : tables_.cell_events) {
      if (key.first == cell) events.push_back(event);
    }
    return events;
  }
  absl::StatusOr<UploadRecord> FindUpload(const std::string& round, const std::string& device) override {
    return Find(tables_.uploads, std::pair(round, device));
  }
  absl::StatusOr<std::vector<uint32_t>> UploadChunks(const std::string& round, const std::string& device) override {
    std::vector<uint32_t> indices;
    const auto chunks = tables_.chunks.find({round, device});
    if (chunks == tables_.chunks.end()) return indices;
    for (const auto& [index, chunk] : chunks->second) indices.push_back(index);
    return indices;
  }
  absl::StatusOr<Bytes> ReadUpload(const std::string& round, const std::string& device) override {
    Bytes bytes;
    const auto chunks = tables_.chunks.find({round, device});
    if (chunks == tables_.chunks.end()) return bytes;
    for (const auto& [index, chunk] : chunks->second) bytes.insert(bytes.end(), chunk.begin(), chunk.end());
    return bytes;
  }
  absl::StatusOr<RingVector> Sum(const std::string& round) override { return Find(tables_.sums, round); }
  absl::StatusOr<Bytes> ReadPiece(const Digest& sha256, uint64_t offset, uint64_t max_bytes) override {
    absl::StatusOr<Bytes> piece = Find(tables_.pieces, sha256);
    if (!piece.ok()) return piece;
    if (offset > piece->size()) return absl::InvalidArgumentError("offset past the end");
    const uint64_t size = std::min<uint64_t>(max_bytes, piece->size() - offset);
    const auto begin = piece->begin() + static_cast<int64_t>(offset);
    return Bytes(begin, begin + static_cast<int64_t>(size));
  }
  absl::StatusOr<ServerState> FindServerState(const std::string& task) override {
    return Find(tables_.server_states, task);
  }
  absl::StatusOr<std::vector<AuditRecord>> Audit(uint64_t after_sequence, uint32_t limit) override {
    std::vector<AuditRecord> records;
    for (auto record = tables_.audit.upper_bound(after_sequence); record != tables_.audit.end(); ++record) {
      if (records.size() == limit) break;
      records.push_back(record->second);
    }
    return records;
  }
  absl::StatusOr<AuditRecord> LastAudit() override {
    if (tables_.audit.empty()) return absl::NotFoundError("the audit log is empty");
    return tables_.audit.rbegin()->second;
  }
  uint64_t DatabaseBytes() const override { return 0; }
  absl::Status Backup(const std::string&) override { return absl::UnimplementedError("no file"); }

  // What a test looks at, or breaks.
  struct Tables {
    std::map<Digest, TokenRecord> tokens;
    std::map<std::string, DeviceRecord> devices;
    std::map<std::string, BaseModel> models;
    std::map<std::string, TaskRecord> tasks;
    std::map<std::pair<std::string, uint32_t>, VersionRecord> versions;
    std::map<Digest, Bytes> pieces;
    std::map<std::string, ServerState> server_states;
    std::map<std::string, RoundRecord> rounds;
    std::map<std::pair<std::string, uint32_t>, Bytes> events;
    std::map<std::string, CellRecord> cells;
    std::map<std::pair<std::string, uint32_t>, Bytes> cell_events;
    std::map<std::string, CellCharge> cell_charges;
    std::map<std::pair<std::string, std::string>, uint32_t> charged_devices;  // by task and device
    std::map<std::string, RingVector> sums;
    std::map<std::pair<std::string, std::string>, UploadRecord> uploads;
    std::map<std::pair<std::string, std::string>, std::map<uint32_t, Bytes>> chunks;
    std::map<uint64_t, AuditRecord> audit;
  };
  Tables& tables() { return tables_; }

 private:
  class Transaction final : public FleetTransaction {
   public:
    explicit Transaction(Tables& tables) : tables_(tables) {}

    absl::Status PutToken(const TokenRecord& token) override { return Put(tables_.tokens, token.secret_sha256, token); }
    absl::Status PutDevice(const DeviceRecord& device) override { return Put(tables_.devices, device.id, device); }
    absl::Status PutModel(const BaseModel& model) override { return Put(tables_.models, model.name, model); }
    absl::Status PutTask(const TaskRecord& task) override { return Put(tables_.tasks, task.name, task); }
    absl::Status PutRound(const RoundRecord& round) override {
      RoundRecord& row = tables_.rounds[round.id];
      const uint64_t up = row.bytes_up;
      const uint64_t down = row.bytes_down;
      row = round;
      row.bytes_up = up;
      row.bytes_down = down;
      return absl::OkStatus();
    }
    absl::Status SetRoundBytes(const std::string& round, uint64_t up, uint64_t down) override {
      tables_.rounds[round].bytes_up = up;
      tables_.rounds[round].bytes_down = down;
      return absl::OkStatus();
    }
    absl::Status AppendRoundEvent(const std::string& round, uint32_t sequence,
                                  std::span<const uint8_t> event) override {
      return Append(tables_.events, std::pair(round, sequence), Bytes(event.begin(), event.end()));
    }
    absl::Status PutCell(const CellRecord& cell) override { return Put(tables_.cells, cell.id, cell); }
    absl::Status AppendCellEvent(const std::string& cell, uint32_t sequence, std::span<const uint8_t> event) override {
      return Append(tables_.cell_events, std::pair(cell, sequence), Bytes(event.begin(), event.end()));
    }
    absl::Status DeleteCellEvents(const std::string& cell) override {
      std::erase_if(tables_.cell_events, [&](const auto& entry) { return entry.first.first == cell; });
      return absl::OkStatus();
    }
    absl::Status PutCellCharge(const CellCharge& charge) override {
      CellCharge stored = charge;
      stored.devices.clear();
      if (!tables_.cell_charges.emplace(charge.cell, stored).second) return absl::AlreadyExistsError("charged already");
      for (const std::string& device : charge.devices) ++tables_.charged_devices[{charge.task, device}];
      return absl::OkStatus();
    }
    absl::Status PutUpload(const UploadRecord& upload) override {
      tables_.chunks.erase({upload.round, upload.device});
      return Put(tables_.uploads, std::pair(upload.round, upload.device), upload);
    }
    absl::Status PutUploadChunk(const std::string& round, const std::string& device, uint32_t index,
                                std::span<const uint8_t> chunk) override {
      tables_.chunks[{round, device}][index] = Bytes(chunk.begin(), chunk.end());
      return absl::OkStatus();
    }
    absl::Status DeleteUpload(const std::string& round, const std::string& device) override {
      tables_.chunks.erase({round, device});
      tables_.uploads.erase({round, device});
      return absl::OkStatus();
    }
    absl::Status DeleteUploads(const std::string& round) override {
      std::erase_if(tables_.chunks, [&](const auto& entry) { return entry.first.first == round; });
      std::erase_if(tables_.uploads, [&](const auto& entry) { return entry.first.first == round; });
      return absl::OkStatus();
    }
    absl::Status PutSum(const std::string& round, const RingVector& sum) override {
      return Put(tables_.sums, round, sum);
    }
    absl::Status DeleteSum(const std::string& round) override {
      tables_.sums.erase(round);
      return absl::OkStatus();
    }
    absl::Status PutVersion(const VersionRecord& version, std::span<const uint8_t> update,
                            std::span<const uint8_t> snapshot) override {
      if (!update.empty()) tables_.pieces[version.update_sha256] = Bytes(update.begin(), update.end());
      if (!snapshot.empty()) tables_.pieces[version.snapshot_sha256] = Bytes(snapshot.begin(), snapshot.end());
      return Put(tables_.versions, std::pair(version.task, version.version), version);
    }
    absl::Status PutServerState(const std::string& task, const ServerState& state) override {
      return Put(tables_.server_states, task, state);
    }
    absl::Status AppendAudit(const AuditRecord& record) override {
      return Append(tables_.audit, record.sequence, record);
    }

   private:
    template <typename Map, typename Key, typename Value>
    static absl::Status Put(Map& map, const Key& key, const Value& value) {
      map[key] = value;
      return absl::OkStatus();
    }
    template <typename Map, typename Key, typename Value>
    static absl::Status Append(Map& map, const Key& key, const Value& value) {
      if (!map.emplace(key, value).second) return absl::UnavailableError("the store has changed: sequence taken");
      return absl::OkStatus();
    }

    Tables& tables_;
  };

  template <typename Map>
  static std::vector<typename Map::mapped_type> ValuesOf(const Map& map) {
    std::vector<typename Map::mapped_type> values;
    for (const auto& [key, value] : map) values.push_back(value);
    return values;
  }
  template <typename Map, typename Key>
  static absl::StatusOr<typename Map::mapped_type> Find(const Map& map, const Key& key) {
    const auto found = map.find(key);
    if (found == map.end()) return absl::NotFoundError("not stored");
    return found->second;
  }

  Tables tables_;
};

}  // namespace fleetune
