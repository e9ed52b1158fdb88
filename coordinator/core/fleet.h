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
#include "aggregation/secagg/advertise.h"
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
// store before its answer is returned, so an acknowledged call survives `kill -9`, and a repeated one has the effect of
// one.
//
// Not thread-safe: belongs to one strand. Blocks only on the store. Everything that it needs is passed in.
class Fleet {
 public:
  // Loads what the store holds; open rounds go on. Borrows the ports, which must outlive it.
  static absl::StatusOr<std::unique_ptr<Fleet>> Open(const FleetPorts& ports);

  // --- enrolment ---
  absl::StatusOr<NewToken> CreateToken(const std::string& admin, const TokenRequest& request);
  // Unauthenticated: unknown, expired or used-up token (one message each). InvalidArgument: bad request. The same
  // secret and certificate request again give the same device, without another use of the token.
  absl::StatusOr<Enrollment> Enroll(const EnrollmentRequest& request);
  // Unauthenticated if the device is unknown or revoked: services ask before every device call.
  absl::Status CheckDevice(const std::string& device) const;
  // A certificate with a new key of TLS and the same identity key. `identity` is the one in the certificate that the
  // device calls with. Certificates are the record of identity keys, and there is no other: the first one binds the
  // key of the enrolment, and each further one is given only for the key in the one before. InvalidArgument: bad
  // request, or it names another identity key (a device gets another one by enrolling as a new device).
  absl::StatusOr<std::string> RenewCertificate(const std::string& device, const VerifyKey& identity,
                                               const std::string& certificate_request);

  // --- devices (callers have run CheckDevice) ---
  // A device that was invited and is not counted gets the same invitation again. InvalidArgument: a report over
  // the limits of device_report.h.
  absl::StatusOr<CheckInAnswer> CheckIn(const std::string& device, const DeviceReport& report);
  // Pieces that lead from what the device holds to `want_version`, in order: the chain of updates if it holds an
  // ancestor, or a snapshot if that is smaller or there is no chain. Empty if it is there, or wants version 0, which
  // everybody makes from the plan. NotFound: task or version.
  absl::StatusOr<std::vector<UpdatePieceRef>> PlanUpdate(const std::string& task, const HeldAdapterVersion& have,
                                                         bool holds_nothing, uint32_t want_version) const;
  // At most kTransferChunkBytes from `offset`; empty at the end. NotFound for an unknown piece; InvalidArgument
  // past its end. The bytes go to RoundView::bytes_down of the round that made the piece's version: what it cost
  // to bring that version to devices.
  absl::StatusOr<Bytes> FetchUpdate(const std::string& device, const std::string& task, const Digest& piece,
                                    uint64_t offset);
  // At most kTransferChunkBytes from `offset` of the control variates of what the round trains (c of
  // lora/plan/control_variates.h: little-endian f32); empty at the end, and from the start while they are zeros. They stay
  // the same until the round is over. The bytes are booked as those of the version trained against. FailedPrecondition: the task has none, the round is over,
  // or the device was not invited. InvalidArgument past the end. NotFound: no such round.
  absl::StatusOr<ServerControlPart> FetchControl(const std::string& device, const std::string& round,
                                                 uint64_t offset);
  // A seat in a cell of the round, for a device whose update is ready: the one that it has, or one in a cell that is
  // filling up, or in a new one. FailedPrecondition: the round is over, does without secure aggregation, or the device
  // holds no place in it. NotFound: no such round.
  absl::StatusOr<SeatOffer> TakeSeat(const std::string& device, const std::string& round);
  // A device's message to its cell, and what the cell has for it. Empty: only asks. Errors of
  // secagg::ServerSession::Check; NotFound: no such cell; FailedPrecondition: no seat in it.
  absl::StatusOr<CellAnswer> ExchangeCell(const secagg::VerifiedPeer& peer, const std::string& cell,
                                          std::span<const uint8_t> message);
  // In the three calls below `round` names the cell, for an input that is masked.
  // An update has RingLength elements of a lane's bytes (lora/plan/update_options.h). The same call again tells what is still missing;
  // another `sha256` begins a new upload in the place of the former one.
  // FailedPrecondition: the round is over, the device was not invited or gave its place away. InvalidArgument:
  // wrong size for the task. NotFound: no such round.
  absl::StatusOr<UploadState> OpenUpload(const std::string& device, const std::string& round, uint64_t size,
                                         const Digest& sha256);
  // Chunks may come in any order and more than once; all are kTransferChunkBytes long but the last.
  // FailedPrecondition: as above, or no upload is open. InvalidArgument: no such chunk, or another size.
  absl::Status PutUploadChunk(const std::string& device, const std::string& round, uint32_t index,
                              std::span<const uint8_t> chunk);
  // Adds the update to the round's sum, once: OK also whenever it is counted already. DataLoss if the chunks do
  // not hash to `sha256` (they are dropped; the device opens again). FailedPrecondition if the round ended without
  // it, chunks are missing, or another upload is open. InvalidArgument if it is no update that EncodeUpdate makes:
  // the device then loses its place.
  absl::Status CommitUpload(const std::string& device, const std::string& round, const Digest& sha256);
  // The device's place goes to another one. `reason`: plain text of at most kMaxRoundReasonBytes.
  // FailedPrecondition if it was not invited or is counted already, or its update is in the sum of a cell that goes on.
  absl::Status DeclineRound(const std::string& device, const std::string& round, const std::string& reason);
  // Bytes of a device's request for RoundView::bytes_up (upload calls only). Bytes, up or down, are written at the
  // next Tick: a crash may lose the last second of the books, never more.
  void CountBytesUp(const std::string& round, uint64_t bytes);

  // --- operators ---
  absl::StatusOr<std::vector<DeviceView>> Devices(const std::string& id_or_name) const;
  absl::StatusOr<DeviceView> TagDevice(const std::string& admin, const std::string& id,
                                       const std::vector<std::string>& add, const std::vector<std::string>& remove);
  absl::StatusOr<DeviceView> RevokeDevice(const std::string& admin, const std::string& id);
  absl::StatusOr<BaseModel> AddModel(const std::string& admin,
                                     const BaseModel& model);  // AlreadyExists: the name with another hash
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
  // The newest 1000, newest first, without devices; empty also if the store cannot be read.
  std::vector<RoundView> Rounds(const std::string& task) const;
  absl::StatusOr<RoundView> AbortRound(const std::string& admin, const std::string& id, const std::string& reason);
  absl::StatusOr<std::vector<VersionView>> Versions(const std::string& task) const;
  absl::StatusOr<std::vector<ModuleDifference>> DiffVersions(const std::string& task, uint32_t from, uint32_t to) const;
  absl::StatusOr<Adapter> VersionAdapter(const std::string& task, uint32_t version) const;  // for export
  // Devices answer with `version`, and the next round trains from it. FailedPrecondition if it is not the head
  // and a round is open.
  absl::StatusOr<TaskView> Release(const std::string& admin, const std::string& task, uint32_t version);
  // To the version released before (0: that one) or a given earlier one; the next round trains from it, without
  // the momentum and the rounding errors of what was given up. FailedPrecondition: nothing was released before, the
  // version is not an earlier one, or a round is open.
  absl::StatusOr<TaskView> Rollback(const std::string& admin, const std::string& task, uint32_t version);
  struct AuditPage {
    std::vector<AuditRecord> records;
    bool chain_intact = false;  // of these records, from the one before them (audit_chain.h)
  };
  // Up to `limit` records (0: 100; at most 1000) after a sequence.
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
