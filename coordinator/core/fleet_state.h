#pragma once

// What Fleet knows, and the few ways in which it changes. Of this folder only.

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/encode/encoding_options.h"
#include "aggregation/privacy/privacy_parameters.h"
#include "aggregation/secagg/server_session.h"
#include "base/crypto/verified_certificates.h"
#include "coordinator/core/fleet.h"
#include "coordinator/core/fleet_store.h"
#include "coordinator/core/round_machine.h"
#include "lora/plan/update_options.h"

namespace fleetune {

struct FleetTask {
  TaskRecord record;
  TaskSpec spec;
  AdapterSpec adapter;
  BaseModel model;
  std::string plan;  // FormatTrainingPlan
  Signature plan_signature{};
  std::optional<SkellamPlan> noise;  // of a task with differential privacy
  std::map<uint32_t, VersionRecord> versions;

  uint32_t released_version() const { return record.releases.back(); }
  // Most values in an update, whatever version it is against.
  uint64_t most_trained() const { return MostTrained(spec.plan.trained, adapter.a_size(), adapter.b_size()); }
  // How updates of a round against a version are encoded.
  EncodingOptions update_options(const std::string& round, uint32_t from_version) const {
    // MakeFleetTask has seen that there are some.
    return UpdateOptions({.plan = spec.plan, .spec = adapter, .from_version = from_version, .round = round}).value();
  }
};

struct OpenRound {
  RoundRecord record;  // as it was opened
  RoundMachine machine;
  uint32_t next_event = 0;
};

struct OpenCell {
  CellRecord record;
  secagg::ServerSession session;
  uint32_t next_event = 0;
  TimePoint phase_since;  // when its phase began, or when this process first saw it
};

// What the store holds, but for the large things.
struct FleetMemory {
  std::map<Digest, TokenRecord> tokens;
  std::map<std::string, DeviceRecord> devices;
  std::map<std::string, BaseModel> models;
  std::map<std::string, FleetTask> tasks;
  std::map<std::string, OpenRound> rounds;  // open ones
  std::map<std::string, OpenCell> cells;    // open ones, of open rounds
  AuditRecord last_audit;                   // sequence 0: none
};
absl::StatusOr<FleetMemory> LoadFleetMemory(const FleetPorts& ports);

// A task as it is held, from its record and its model.
absl::StatusOr<FleetTask> MakeFleetTask(TaskRecord record, const std::map<std::string, BaseModel>& models,
                                        const SigningKey& release_key);

struct AuditNote {
  std::string actor;
  std::string action;
  std::string detail;
};
std::string AdminActor(const std::string& admin);

// How far back a task remembers what was released.
inline constexpr size_t kMaxReleaseHistory = 64;
// Makes `version` the released one; the one before it stays in the history.
void AppendRelease(TaskRecord& record, uint32_t version);

// Bytes of a round's uploads and of the version that it made. Kept here and written from time to time.
struct RoundBytes {
  uint64_t up = 0;
  uint64_t down = 0;
  bool unwritten = false;
};

// A round's control variates as devices get them: read once, since many fetch them in many parts.
struct ControlAtHand {
  std::string round;
  Bytes bytes;
  Digest sha256;
};

// Events that happen to one round as part of one change.
struct RoundStep {
  std::string round;  // an open one
  std::vector<RoundEvent> events;
};

// Where an update goes: a round, or a cell if it is masked.
struct UploadDestination {
  uint64_t size = 0;     // of an update there
  bool counted = false;  // the device's is in the sum
  absl::Status closed;   // why nothing of the device may come, unless it is counted
};

using TransactionBody = absl::FunctionRef<absl::Status(FleetTransaction&)>;

struct Fleet::State {
  FleetPorts ports;
  std::optional<VerifiedCertificates> certificates;  // of the fleet's CA; set by Open
  FleetMemory memory;
  bool stale = false;  // a write failed: it may or may not have happened
  std::map<std::string, RoundBytes> round_bytes;
  std::optional<ControlAtHand> control;            // of the round that was asked for last
  std::map<std::string, std::string> not_invited;  // by device: why
  std::map<std::string, TimePoint> written_seen;   // by device: the last_seen that the store has

  TimePoint Now() const { return ports.clock->Now(); }

  // Reads the store again after a failed write. Every public call begins with it.
  absl::Status Refresh();

  // The only way to the disk: `body` and the audit records of `notes`, in one transaction.
  absl::Status Write(const std::vector<AuditNote>& notes, TransactionBody body);

  // Applies events to rounds: durable with whatever `also` writes, then visible. A round that ends leaves
  // memory; its sum and uploads are deleted. Does not make versions: FinishClosing does.
  absl::Status Advance(const std::vector<RoundStep>& steps, std::vector<AuditNote> notes, TransactionBody also);

  // Rounds that have their needed updates begin to wait no longer than the task's linger_seconds for the others.
  absl::Status LimitWaiting();

  // Makes the version of a round whose sum is complete, or aborts it if the sum cannot be used. Nothing to do
  // unless the round is closing.
  absl::Status FinishClosing(const std::string& round);

  // The way of a cell's events: durable with whatever `also` writes, then applied. A cell that fails leaves memory; its
  // sum and uploads are deleted.
  absl::Status AdvanceCell(const std::string& cell, const secagg::SessionEvent& event, TransactionBody also);
  // Ends phases of the cell that are complete or, once their time is over, as they are; opens the sum at last.
  absl::Status PumpCell(const std::string& cell);
  // fleet_privacy.cc: what sums with noise cost. For tasks that have some.
  absl::StatusOr<PrivacyView> PrivacyOf(const FleetTask& task) const;
  // FailedPrecondition, in words, if one more round could bring a device over the task's limit.
  absl::Status CheckBudget(const FleetTask& task) const;
  // Writes the charge of a cell whose view is being fixed.
  absl::Status ChargeCell(const OpenCell& cell, FleetTransaction& transaction) const;
  absl::Status AddPrivacy(const std::string& task, RoundView& view) const;
  // On the ports' threads, if there are any.
  void RunTasks(size_t tasks, absl::FunctionRef<void(size_t)> work) const;
  absl::Status FinishCell(const std::string& cell, secagg::RecoveredMasks masks);
  absl::Status CommitToCell(const std::string& device, const std::string& cell, const Digest& sha256);
  // Writes the end of all cells of a round that ends itself; forgets them.
  absl::Status WriteCellsOfEndedRound(const std::string& round, FleetTransaction& transaction) const;
  void ForgetCells(const std::string& round);
  absl::StatusOr<secagg::VerifiedPeer> VerifyPeer(std::span<const uint8_t> certificate) const;
  // Who did not sign what they sent in a cell whose secrets cannot be rebuilt, to be added to why. Empty if all did.
  std::string UnsignedOf(const secagg::ServerSession& session) const;
  secagg::ServerSession* FindOpenCell(const std::string& id);  // null: none
  // Of a round's or a cell's id. FailedPrecondition: the device was not invited. NotFound.
  absl::StatusOr<UploadDestination> FindDestination(const std::string& id, const std::string& device) const;

  // Unauthenticated, NotFound, as the services answer.
  absl::StatusOr<DeviceRecord*> FindDevice(const std::string& id);
  absl::StatusOr<FleetTask*> FindTask(const std::string& name);
  const OpenRound* OpenRoundOf(const std::string& task) const;  // null: none
  uint64_t DevicesOf(const FleetTask& task) const;              // enrolled, not revoked, with the task's tag

  // Open or ended. NotFound.
  absl::StatusOr<OpenRound> FindRound(const std::string& id) const;

  absl::StatusOr<Adapter> LoadVersion(const FleetTask& task, uint32_t version) const;
  // What devices of the round, an open one, correct their gradients by.
  absl::StatusOr<const ControlAtHand*> ControlOfRound(const OpenRound& round);
  // The books of a round, from the store if they are not here.
  absl::StatusOr<RoundBytes*> BytesOf(const std::string& round);
  absl::Status WriteRoundBytes();

  TaskView View(const FleetTask& task) const;
  DeviceView View(const DeviceRecord& device) const;
  RoundView View(const OpenRound& round) const;
  CellView View(const CellRecord& cell) const;
};

}  // namespace fleetune
