#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crypto/signature.h"
#include "base/digest.h"
#include "base/random.h"
#include "coordinator/core/fleet_types.h"
#include "coordinator/core/ports.h"
#include "coordinator/core/task_spec.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// The coordinator's decisions: devices, tasks, rounds, versions, releases. Every decision is durable in the
// store before its answer is returned, so an acknowledged call survives `kill -9`, and a repeated one has the effect of one.
//
// Not thread-safe: belongs to one strand. Blocks only on the store. Everything that it needs is passed in.
class Fleet {
 public:
  // Loads what the store holds; open rounds go on. Borrows the ports, which must outlive it.
  static absl::StatusOr<std::unique_ptr<Fleet>> Open(const FleetPorts& ports);

  // --- enrolment ---
  absl::StatusOr<NewToken> CreateToken(const std::string& admin, const TokenRequest& request);
  // Unauthenticated: unknown, expired or used-up token (one message each). InvalidArgument: bad request.
  absl::StatusOr<Enrollment> Enroll(const EnrollmentRequest& request);
  // Unauthenticated if the device is unknown or revoked: services ask before every device call.
  absl::Status CheckDevice(const std::string& device) const;
  absl::StatusOr<std::string> RenewCertificate(const std::string& device, const std::string& certificate_request);

  // --- devices (callers have run CheckDevice) ---
  absl::StatusOr<CheckInAnswer> CheckIn(const std::string& device, const DeviceReport& report);
  absl::StatusOr<std::vector<UpdatePieceRef>> PlanUpdate(const std::string& task, const HeldAdapterVersion& have,
                                                         bool holds_nothing, uint32_t want_version) const;
  // At most kTransferChunkBytes from `offset`. NotFound for an unknown piece. Counts bytes to the device's round.
  absl::StatusOr<Bytes> FetchUpdate(const std::string& device, const std::string& task, const Digest& piece,
                                    uint64_t offset);
  // FailedPrecondition: the round is over, or the device was not invited. InvalidArgument: wrong size for the task.
  absl::StatusOr<UploadState> OpenUpload(const std::string& device, const std::string& round, uint64_t size,
                                         const Digest& sha256);
  absl::Status PutUploadChunk(const std::string& device, const std::string& round, uint32_t index,
                              std::span<const uint8_t> chunk);
  // Adds the update to the round's sum, once. DataLoss if the chunks do not hash to `sha256` (they are
  // dropped; the device opens again). FailedPrecondition if the round ended without it.
  absl::Status CommitUpload(const std::string& device, const std::string& round, const Digest& sha256);
  absl::Status DeclineRound(const std::string& device, const std::string& round, const std::string& reason);
  // Bytes of a device's request for the round's books (upload calls only).
  void CountBytesUp(const std::string& round, uint64_t bytes);

  // --- operators ---
  absl::StatusOr<std::vector<DeviceView>> Devices(const std::string& id_or_name) const;
  absl::StatusOr<DeviceView> TagDevice(const std::string& admin, const std::string& id,
                                       const std::vector<std::string>& add, const std::vector<std::string>& remove);
  absl::StatusOr<DeviceView> RevokeDevice(const std::string& admin, const std::string& id);
  absl::StatusOr<BaseModel> AddModel(const std::string& admin, const BaseModel& model);  // AlreadyExists: the name with another hash
  std::vector<BaseModel> Models() const;
  struct CreatedTask {
    TaskView task;
    std::vector<std::string> warnings;
  };
  absl::StatusOr<CreatedTask> CreateTask(const std::string& admin, std::string_view toml);
  absl::StatusOr<std::vector<TaskView>> Tasks(const std::string& name) const;
  absl::StatusOr<TaskView> PauseTask(const std::string& admin, const std::string& name, bool paused);
  // FailedPrecondition: paused, or a round is open.
  absl::StatusOr<RoundView> StartRound(const std::string& admin, const std::string& task);
  absl::StatusOr<RoundView> Round(const std::string& id) const;
  std::vector<RoundView> Rounds(const std::string& task) const;
  absl::StatusOr<RoundView> AbortRound(const std::string& admin, const std::string& id, const std::string& reason);
  absl::StatusOr<std::vector<VersionView>> Versions(const std::string& task) const;
  absl::StatusOr<std::vector<ModuleDifference>> DiffVersions(const std::string& task, uint32_t from, uint32_t to) const;
  absl::StatusOr<Adapter> VersionAdapter(const std::string& task, uint32_t version) const;  // for export
  // Devices answer with `version`, and the next round trains from it.
  absl::StatusOr<TaskView> Release(const std::string& admin, const std::string& task, uint32_t version);
  // To the version released before (0: that one) or a given earlier one.
  absl::StatusOr<TaskView> Rollback(const std::string& admin, const std::string& task, uint32_t version);
  struct AuditPage {
    std::vector<AuditRecord> records;
    bool chain_intact = false;
  };
  absl::StatusOr<AuditPage> Audit(uint64_t after_sequence, uint32_t limit) const;
  FleetStatus Status() const;

  // Ends rounds whose deadline has passed. Call about once a second; cheap when nothing is due.
  absl::Status Tick();

  ~Fleet();

 private:
  struct State;
  explicit Fleet(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace fleetune
