#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/crypto/signature.h"
#include "base/digest.h"
#include "coordinator/core/task_spec.h"

namespace fleetune {

// Plain data at the border to the services. Device ids and admin names come from certificates.

struct EnrollmentRequest {
  Bytes token_secret;
  std::string certificate_request;
  std::string device_name;
};
struct Enrollment {
  std::string device_id;
  std::string certificate;
};

struct HeldAdapterVersion {
  std::string task;
  uint32_t version = 0;
  Digest hash;
};
struct DeviceReport {
  std::string software_version;
  std::string profile;
  uint64_t memory_budget_bytes = 0;
  bool ready_to_train = false;
  std::string not_ready_reason;
  std::vector<HeldAdapterVersion> versions;
  std::vector<std::pair<std::string, uint64_t>> examples;  // tag, count
  std::vector<Digest> models;
};
struct OfferedTask {
  std::string plan;  // FormatTrainingPlan
  Signature plan_signature{};
  uint32_t released_version = 0;
  Digest released_hash;
  uint64_t model_bytes = 0;
};
// A part of a round's control variates on their way to a device.
struct ServerControlPart {
  Bytes bytes;
  uint64_t size_bytes = 0;  // of the whole; 0: all are zeros
  Digest sha256;            // of the whole
};
struct RoundInvitation {
  std::string round;
  std::string task;
  uint32_t version = 0;
  Digest version_hash;
  std::chrono::milliseconds time_left{};
};
struct CheckInAnswer {
  std::chrono::milliseconds next_check_in{};
  std::vector<OfferedTask> tasks;
  std::optional<RoundInvitation> invitation;
};

// A seat in a cell of secure aggregation: what the session is about, for the device to judge.
struct SeatOffer {
  std::string cell;
  Bytes config;           // aggregation/secagg/session_config.h
  Signature signature{};  // by the release key, purpose kSecAggConfig
};
// What a cell has for a device now.
struct CellAnswer {
  enum class Kind : uint8_t { kWait, kMessage, kOver };
  Kind kind = Kind::kWait;
  std::chrono::milliseconds ask_again_in{};  // of kWait
  Bytes message;                             // of kMessage: for the device's session
  bool counted = false;                      // of kOver: its update is in the round's sum
};

struct UpdatePieceRef {
  Digest sha256;
  uint64_t size = 0;
  uint32_t version = 0;
  bool snapshot = false;
};
struct UploadState {
  uint32_t chunk_bytes = 0;
  std::vector<uint32_t> missing_chunks;
  bool committed = false;
};

struct NewToken {
  Bytes secret;  // shown once; stored as a hash
  TimePoint expires;
};
struct TokenRequest {
  uint32_t uses = 1;
  std::chrono::seconds lifetime = std::chrono::hours(24);
  std::vector<std::string> tags;
};

struct DeviceView {
  std::string id;
  std::string name;
  std::vector<std::string> tags;
  bool revoked = false;
  TimePoint enrolled;
  std::optional<TimePoint> last_seen;
  DeviceReport report;  // the latest
  uint64_t examples = 0;
  uint64_t rounds_counted = 0;
  std::string not_invited;  // why its last check-in did not join a round that had a place; empty: no such round
};
// What sums with noise have cost a device, at the task's delta.
struct PrivacyView {
  double noise_multiplier = 0;
  double limit = 0;  // device_epsilon_limit
  double delta = 0;
  double cell_epsilon = 0;      // of one cell that a device is in
  uint32_t cells = 0;           // that the device was in that was in most
  double epsilon = 0;           // of that device, to the coordinator, who chooses who is in a cell
  double outsider_epsilon = 0;  // to one who sees the models alone; for reports, binds nothing
  std::string no_round;         // why no further round starts; empty: the next is within the limit
};
struct TaskView {
  TaskSpec spec;
  bool paused = false;
  uint32_t head_version = 0;
  uint32_t released_version = 0;
  uint64_t trained_parameters = 0;
  uint32_t rounds_finished = 0;
  std::string open_round;
  std::string protection;  // in words: what the coordinator sees of updates
  std::string method;      // in words: what devices train, and whether its average is exact
  std::optional<PrivacyView> privacy;  // of a task with noise
};
struct RoundDeviceView {
  std::string device;
  std::string state;  // invited, uploading, counted, declined, late
  std::string reason;
};
struct CellView {
  uint32_t number = 0;
  std::string state;  // of secagg::ServerPhaseName
  std::string reason;
  uint32_t seats = 0;    // taken
  uint32_t counted = 0;  // inputs in the sum so far
};
struct RoundView {
  std::string id;
  std::string task;
  uint32_t number = 0;
  std::string state;  // collecting, done, aborted
  std::string reason;
  uint32_t from_version = 0;
  uint32_t made_version = 0;
  uint32_t needed = 0;
  uint32_t invited = 0;
  uint32_t counted = 0;
  uint32_t declined = 0;
  double total_weight = 0;
  double mean_delta_norm = 0;
  double clamped_share = 0;          // what encoding did to updates: of coordinates cut off,
  double clipped_devices_share = 0;  // of devices whose norm was cut,
  double mean_peak_share = 0;        // how much of the range the largest coordinate took; of ended rounds, singly asked
  uint64_t bytes_up = 0;             // of its uploads' requests
  uint64_t bytes_down = 0;           // that carried the version which it made to devices
  TimePoint started;
  std::optional<TimePoint> ended;
  TimePoint deadline;
  std::vector<RoundDeviceView> devices;
  std::vector<CellView> cells;         // by number; of a round that is singly asked for; so are the next two
  std::optional<PrivacyView> privacy;  // of its task, if it has noise
  uint32_t charged_cells = 0;          // of this round: their sums may have been opened
};
struct VersionView {
  std::string task;
  uint32_t version = 0;
  uint32_t parent = 0;
  Digest hash;
  uint64_t update_bytes = 0;
  uint64_t snapshot_bytes = 0;
  TimePoint made;
  std::string round;
  bool head = false;
  bool released = false;
};
struct ModuleDifference {
  std::string module;
  double norm = 0;
  double relative = 0;
};
struct AuditRecord {
  uint64_t sequence = 0;
  TimePoint time;
  std::string actor;
  std::string action;
  std::string detail;
  Digest hash;
};
struct FleetStatus {
  uint32_t devices = 0;
  uint32_t devices_seen_last_hour = 0;
  uint32_t tasks = 0;
  uint32_t open_rounds = 0;
  uint64_t database_bytes = 0;
};

}  // namespace fleetune
