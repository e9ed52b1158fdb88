#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/privacy/privacy_charge.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "client/core/check_in.h"
#include "client/core/device_state.h"
#include "lora/plan/control_variates.h"

namespace fleetune {

// What the agent's shells need of the outside. client/transport, client/update and client/app implement them;
// tests have fakes.

// A part of a base model's file.
struct ModelPart {
  Bytes bytes;
  uint64_t file_size = 0;
};

// A signed update on offer, named by the SHA-256 of its bytes.
struct OfferedPiece {
  Digest sha256;
  uint64_t size = 0;
  uint32_t version = 0;  // after it is applied
  bool snapshot = false;
};

struct OpenedUpload {
  uint32_t chunk_bytes = 0;  // > 0 unless committed
  std::vector<uint32_t> missing_chunks;
  bool committed = false;
};

// A seat in a cell of secure aggregation as it came: the signature is not checked yet.
struct OfferedSeat {
  std::string cell;
  Bytes config;  // aggregation/secagg/session_config.h
  std::array<uint8_t, 64> signature{};
};

// What a cell has for a device: nothing yet; a message for its session (never empty); its end.
struct CellQuiet {
  std::chrono::milliseconds ask_again_in{};
};
struct CellSays {
  Bytes message;
};
struct CellEnded {
  bool counted = false;  // the device's update is in the round's sum
};
using CellNews = std::variant<CellQuiet, CellSays, CellEnded>;

// A part of the server's control variates of a round (lora/plan/control_variates.h), as it came.
struct ControlPart {
  Bytes bytes;
  uint64_t size = 0;  // of the whole; 0: all are zeros
  Digest sha256;      // of the whole
};

struct UpdateWish {
  std::string task;
  uint32_t have_version = 0;
  Digest have_hash;
  bool have_nothing = false;  // wants a snapshot
  uint32_t want_version = 0;
};

// The coordinator as a device sees it. Each call is short, blocks up to its deadline, and may be repeated.
// Errors: Unavailable and DeadlineExceeded (later), Unauthenticated (certificate or revoked), FailedPrecondition
// (the round is over, or not for this device), NotFound, InvalidArgument (also for an answer that makes no
// sense), DataLoss.
class CoordinatorLink {
 public:
  virtual ~CoordinatorLink() = default;
  virtual absl::StatusOr<CheckInReply> CheckIn(const CheckInReport& report) = 0;
  virtual absl::StatusOr<ModelPart> FetchModel(const Digest& sha256, uint64_t offset) = 0;
  virtual absl::StatusOr<std::vector<OfferedPiece>> PlanUpdate(const UpdateWish& wish) = 0;
  virtual absl::StatusOr<Bytes> FetchUpdate(const std::string& task, const Digest& sha256, uint64_t offset) = 0;
  virtual absl::StatusOr<ControlPart> FetchControl(const std::string& round, uint64_t offset) = 0;
  virtual absl::StatusOr<OfferedSeat> TakeSeat(const std::string& round) = 0;
  // `message`: of the device's session; empty: only asks.
  virtual absl::StatusOr<CellNews> ExchangeCell(const std::string& cell, std::span<const uint8_t> message) = 0;
  // In the three calls below `round` names the cell, for an update that is masked.
  virtual absl::StatusOr<OpenedUpload> OpenUpload(const std::string& round, uint64_t size, const Digest& sha256) = 0;
  virtual absl::Status PutUploadChunk(const std::string& round, uint32_t index, std::span<const uint8_t> chunk) = 0;
  virtual absl::Status CommitUpload(const std::string& round, const Digest& sha256) = 0;
  virtual absl::Status DeclineRound(const std::string& round, const std::string& reason) = 0;
  // A certificate (PEM) for the key of the request (PKCS #10, PEM).
  virtual absl::StatusOr<std::string> RenewCertificate(const std::string& request) = 0;
};

// The agent's durable state.
class DeviceStateStore {
 public:
  virtual ~DeviceStateStore() = default;
  virtual absl::StatusOr<DeviceState> Load() = 0;  // a new device's if nothing was saved
  virtual absl::Status Save(const DeviceState& state) = 0;  // durable when it returns
};

// What was charged to this device's privacy ledger. Never deleted.
class ChargeStore {
 public:
  virtual ~ChargeStore() = default;
  virtual absl::StatusOr<std::vector<PrivacyCharge>> Charges() = 0;
  // Durable when it returns. One of a session that is there already changes nothing.
  virtual absl::Status AppendCharge(const PrivacyCharge& charge) = 0;
};

// The newest checkpoint of the training at hand, as secret as the examples that it was taken from.
class CheckpointStore {
 public:
  virtual ~CheckpointStore() = default;
  // Before the examples of a training for `round` are read. Gives the newest checkpoint of an earlier attempt; empty if
  // there is none, or none that can be read any more.
  virtual absl::StatusOr<Bytes> Begin(const std::string& round) = 0;
  // Durable when it returns, in place of the one before. FailedPrecondition if the examples were purged since Begin().
  virtual absl::Status Put(std::span<const uint8_t> checkpoint) = 0;
  virtual absl::Status KeepOnly(const std::string& round) = 0;  // deletes all others; empty: all
};

// Whose control variates: those of an adapter of this shape over this base model.
struct ControlledTask {
  std::string task;
  Digest base;
  uint64_t a_size = 0;
  uint64_t b_size = 0;
};

// This device's control variates, one set a task, as secret as the examples that they were learned from.
class ControlStore {
 public:
  virtual ~ControlStore() = default;
  // Before the examples of a training are read. Gives what the task's are now: zeros if there are none, or none that can
  // be read any more.
  virtual absl::StatusOr<OwnControl> Begin(const ControlledTask& task) = 0;
  // What they become if the update of `round`, of the task begun with, is counted; until then they stay as they are.
  // Durable when it returns, in the place of an earlier proposal for the round. FailedPrecondition if the examples were
  // purged since Begin().
  virtual absl::Status Propose(const std::string& round, const OwnControl& control) = 0;
  // The update was counted: what was proposed for it holds from now on. Durable when it returns. Once only: the same call
  // again, or one without a proposal, changes nothing.
  virtual absl::Status Accept(const std::string& task, const std::string& round) = 0;
  virtual absl::Status KeepProposal(const std::string& round) = 0;  // deletes all others; empty: all
};

// Encoded updates, masked or not, and sessions with their answers, named by their hash. All of it is secret.
class PayloadStore {
 public:
  virtual ~PayloadStore() = default;
  virtual absl::Status Put(const Digest& sha256, std::span<const uint8_t> bytes) = 0;  // durable when it returns
  virtual absl::StatusOr<Bytes> Get(const Digest& sha256) = 0;  // NotFound; DataLoss if its hash differs
  virtual absl::Status KeepOnly(const std::vector<Digest>& wanted) = 0;  // deletes all others
};

}  // namespace fleetune
