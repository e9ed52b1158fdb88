#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "coordinator/core/fleet_types.h"
#include "coordinator/core/ports.h"

namespace fleetune {

// What the coordinator keeps. Plain data, no invariants of its own.

struct TokenRecord {
  Digest secret_sha256;  // the secret itself is nowhere
  std::string made_by;
  TimePoint expires;
  uint32_t uses_left = 0;
  std::vector<std::string> tags;
};

struct DeviceRecord {
  std::string id;
  std::string name;
  std::vector<std::string> tags;
  bool revoked = false;
  TimePoint enrolled;
  std::optional<TimePoint> last_seen;
  Digest token;                // it enrolled with, and
  Digest certificate_request;  // the SHA-256 of its request: the same two again are the same device
  DeviceReport report;
  uint64_t rounds_counted = 0;
};

struct TaskRecord {
  std::string name;
  std::string toml;  // FormatTaskSpec
  bool paused = false;
  uint32_t head_version = 0;
  uint32_t last_version = 0;       // the highest ever made
  std::vector<uint32_t> releases;  // the last is the released version, before it what a rollback goes to
  uint32_t rounds_started = 0;
  uint32_t rounds_finished = 0;
};

// The summary of a round. The truth about an open one are its events.
struct RoundRecord {
  std::string id;
  std::string task;
  uint32_t number = 0;
  std::string state;  // of RoundView
  std::string reason;
  uint32_t from_version = 0;
  uint32_t made_version = 0;
  uint32_t needed = 0;
  uint32_t invited = 0;
  uint32_t counted = 0;
  uint32_t declined = 0;
  double total_weight = 0;
  double mean_delta_norm = 0;
  TimePoint started;
  std::optional<TimePoint> ended;
  TimePoint deadline;
  uint64_t bytes_up = 0;  // PutRound leaves these two alone; SetRoundBytes writes them
  uint64_t bytes_down = 0;
};

// A cell of a round. The truth about an open one are its events; one that has ended keeps none.
struct CellRecord {
  std::string id;
  std::string round;
  uint32_t number = 0;  // within the round, from 1
  std::string state;    // open, finished, failed
  std::string reason;   // of failed
  uint32_t seats = 0;   // once it has ended
  uint32_t counted = 0;
};

// What a cell with noise cost, and whom: the devices in its view.
struct CellCharge {
  std::string cell;
  std::string task;
  std::string round;
  Bytes charge;  // aggregation/privacy/privacy_charge.h
  std::vector<std::string> devices;  // written only
};

struct UploadRecord {
  std::string round;  // or cell
  std::string device;
  uint64_t size = 0;
  Digest sha256;
};

// A version's place in its task. Its bytes are two pieces: `update` (from the parent) and `snapshot`
// (whole), each named by the SHA-256 of SerializeUpdate. Version 0 has none: size 0.
struct VersionRecord {
  std::string task;
  uint32_t version = 0;
  uint32_t parent = 0;
  Digest hash;  // AdapterHash
  std::string round;
  TimePoint made;
  Digest update_sha256;
  uint64_t update_bytes = 0;
  Digest snapshot_sha256;
  uint64_t snapshot_bytes = 0;
};

// What the coordinator alone carries from one version to the next, for each factor of the adapter. Empty: nothing, as
// before the first step of the factor, and (but for the control variate) after a refactoring or a rollback.
struct FactorState {
  std::vector<float> residual;  // what rounding left out of the factor's last step
  Bytes optimizer;              // ServerOptimizer::SaveState
  std::vector<float> control;   // c of lora/plan/control_variates.h; empty: zeros

  friend bool operator==(const FactorState&, const FactorState&) = default;
};
struct ServerState {
  uint32_t version = 0;  // that it belongs to
  FactorState b;
  FactorState a;
};

// The writes of one transaction. "Put" replaces what has the same key.
class FleetTransaction {
 public:
  virtual ~FleetTransaction() = default;

  virtual absl::Status PutToken(const TokenRecord& token) = 0;
  virtual absl::Status PutDevice(const DeviceRecord& device) = 0;
  virtual absl::Status PutModel(const BaseModel& model) = 0;
  virtual absl::Status PutTask(const TaskRecord& task) = 0;
  virtual absl::Status PutRound(const RoundRecord& round) = 0;
  virtual absl::Status SetRoundBytes(const std::string& round, uint64_t up, uint64_t down) = 0;
  // Unavailable if the round has an event with this sequence: the writer's memory is not the store's, so it reads
  // again before it goes on.
  virtual absl::Status AppendRoundEvent(const std::string& round, uint32_t sequence,
                                        std::span<const uint8_t> event) = 0;
  virtual absl::Status PutCell(const CellRecord& cell) = 0;
  // Unavailable if the cell has an event with this sequence, as above.
  virtual absl::Status AppendCellEvent(const std::string& cell, uint32_t sequence, std::span<const uint8_t> event) = 0;
  virtual absl::Status DeleteCellEvents(const std::string& cell) = 0;
  // Adds a cell to the task's ledger, and to the cells of each of its devices. AlreadyExists: it is there.
  virtual absl::Status PutCellCharge(const CellCharge& charge) = 0;
  // Uploads and sums are named by their round, or by their cell.
  // Replaces the upload of this device and drops the chunks of the former one.
  virtual absl::Status PutUpload(const UploadRecord& upload) = 0;
  virtual absl::Status PutUploadChunk(const std::string& round, const std::string& device, uint32_t index,
                                      std::span<const uint8_t> chunk) = 0;
  virtual absl::Status DeleteUpload(const std::string& round, const std::string& device) = 0;
  virtual absl::Status DeleteUploads(const std::string& round) = 0;
  virtual absl::Status PutSum(const std::string& round, const RingVector& sum) = 0;
  virtual absl::Status DeleteSum(const std::string& round) = 0;
  virtual absl::Status PutVersion(const VersionRecord& version, std::span<const uint8_t> update,
                                  std::span<const uint8_t> snapshot) = 0;
  virtual absl::Status PutServerState(const std::string& task, const ServerState& state) = 0;
  // Unavailable if there is a record with this sequence, as above.
  virtual absl::Status AppendAudit(const AuditRecord& record) = 0;
};

// Where the coordinator's state is durable. Belongs to the fleet's strand. Reads see what the last
// successful Write left. DataLoss: what is stored is damaged. Unavailable: the disk, or busy for too long.
class FleetStore {
 public:
  virtual ~FleetStore() = default;

  // Runs `body` in a transaction: when this returns OK, all of it has reached the disk; if `body` returns an
  // error, nothing has, and that is the answer. Another error may have come before or after the writes took
  // effect: the caller reads again. `body` may run more than once and touches nothing but the transaction.
  virtual absl::Status Write(absl::FunctionRef<absl::Status(FleetTransaction&)> body) = 0;

  virtual absl::StatusOr<std::vector<TokenRecord>> Tokens() = 0;
  virtual absl::StatusOr<std::vector<DeviceRecord>> Devices() = 0;
  virtual absl::StatusOr<std::vector<BaseModel>> Models() = 0;
  virtual absl::StatusOr<std::vector<TaskRecord>> Tasks() = 0;
  virtual absl::StatusOr<std::vector<VersionRecord>> Versions(const std::string& task) = 0;  // ascending
  // NotFound.
  virtual absl::StatusOr<RoundRecord> FindRound(const std::string& id) = 0;
  virtual absl::StatusOr<std::vector<RoundRecord>> OpenRounds() = 0;
  // The newest `limit`, newest first; of one task, or of all if `task` is empty.
  virtual absl::StatusOr<std::vector<RoundRecord>> Rounds(const std::string& task, uint32_t limit) = 0;
  virtual absl::StatusOr<std::vector<Bytes>> RoundEvents(const std::string& round) = 0;  // in order
  // NotFound.
  virtual absl::StatusOr<CellRecord> FindCell(const std::string& id) = 0;
  virtual absl::StatusOr<std::vector<CellRecord>> OpenCells() = 0;
  virtual absl::StatusOr<std::vector<CellRecord>> Cells(const std::string& round) = 0;  // open or ended, by number
  virtual absl::StatusOr<std::vector<Bytes>> CellEvents(const std::string& cell) = 0;   // in order
  virtual absl::StatusOr<std::vector<CellCharge>> CellCharges(const std::string& task) = 0;  // without devices
  // Of a task's charged cells, how many the device was in that was in most.
  virtual absl::StatusOr<uint32_t> MostCellsOfADevice(const std::string& task) = 0;
  // NotFound.
  virtual absl::StatusOr<UploadRecord> FindUpload(const std::string& round, const std::string& device) = 0;
  virtual absl::StatusOr<std::vector<uint32_t>> UploadChunks(const std::string& round,
                                                             const std::string& device) = 0;  // ascending
  // All chunks there are, one after the other.
  virtual absl::StatusOr<Bytes> ReadUpload(const std::string& round, const std::string& device) = 0;
  // NotFound: nothing was added yet.
  virtual absl::StatusOr<RingVector> Sum(const std::string& round) = 0;
  // At most `max_bytes` of a piece, from `offset`. NotFound for an unknown piece; InvalidArgument past its end.
  virtual absl::StatusOr<Bytes> ReadPiece(const Digest& sha256, uint64_t offset, uint64_t max_bytes) = 0;
  // NotFound: no version was made yet.
  virtual absl::StatusOr<ServerState> FindServerState(const std::string& task) = 0;
  // Up to `limit` after `sequence`, ascending.
  virtual absl::StatusOr<std::vector<AuditRecord>> Audit(uint64_t after_sequence, uint32_t limit) = 0;
  // NotFound while the log is empty.
  virtual absl::StatusOr<AuditRecord> LastAudit() = 0;

  virtual uint64_t DatabaseBytes() const = 0;
  // A consistent copy while the store goes on. AlreadyExists if there is a file at `path`.
  virtual absl::Status Backup(const std::string& path) = 0;
};

}  // namespace fleetune
