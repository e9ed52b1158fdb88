#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/digest.h"

namespace fleetune {

// What the device's agent must not forget, as plain data. Whoever runs the agent persists it whenever it
// changed, before performing what the agent asked for.

// A round that the device was invited to.
struct RoundOrder {
  std::string round;
  std::string task;
  uint32_t version = 0;  // to train against
  Digest version_hash;
  TimePoint deadline;    // of the device's clock

  friend bool operator==(const RoundOrder&, const RoundOrder&) = default;
};

// A round that is being worked on and has no update yet.
struct RoundWork {
  RoundOrder order;
  std::string plan;       // TOML, its signature verified when it came
  uint32_t attempts = 0;  // trainings begun and not given back

  friend bool operator==(const RoundWork&, const RoundWork&) = default;
};

// An update under the masks of one cell. Its bytes lie in the PayloadStore before the first of them leaves.
struct MaskedBytes {
  Digest sha256;
  uint64_t size = 0;       // bytes
  bool sending = false;    // a byte may have left the device
  bool committed = false;  // the coordinator has them all

  friend bool operator==(const MaskedBytes&, const MaskedBytes&) = default;
};

// A seat in a cell of secure aggregation. The session and its last answer lie in the PayloadStore, too: a session that
// forgot what it answered could be made to answer twice.
struct CellSeat {
  std::string cell;
  uint32_t min_inputs = 0;            // fewest devices in the cell's sum
  Digest session;                     // of the bytes of secagg::ClientSession::Save
  std::optional<Digest> message;      // of the answer that the coordinator may not have yet
  std::optional<MaskedBytes> masked;  // once the masks are known
  bool given_up = false;              // the session is forgotten; only how the cell ends is of interest

  friend bool operator==(const CellSeat&, const CellSeat&) = default;
};

// An encoded update that waits to be acknowledged. Its bytes lie in the PayloadStore under their hash. Of a task
// without secure aggregation they are sent, the same ones however often; of the others never: each cell gets them
// under masks of its own.
struct PendingUpdate {
  RoundOrder order;
  std::string plan;  // TOML, as in RoundWork
  Digest sha256;
  uint64_t size = 0;               // bytes
  uint64_t parameters = 0;         // values in the delta
  uint64_t examples = 0;           // private examples that it was trained on
  bool sending = false;            // a byte of it, masked or not, may have left the device
  std::optional<CellSeat> seat;    // of a task with secure aggregation
  uint32_t failed_cells = 0;       // seats that led to nothing
  std::string ended_cell;          // the last of them: this device has said what it says there

  friend bool operator==(const PendingUpdate&, const PendingUpdate&) = default;
};

enum class RoundEnd : uint8_t { kCounted = 1, kDropped = 2, kDeclined = 3 };  // stored values

// A round for which nothing more will be sent.
struct SettledRound {
  std::string round;
  RoundEnd end = RoundEnd::kDropped;

  friend bool operator==(const SettledRound&, const SettledRound&) = default;
};

// A refusal that the coordinator has not heard of yet.
struct DeclineNotice {
  std::string round;
  std::string reason;  // at most kMaxDeclineReasonBytes

  friend bool operator==(const DeclineNotice&, const DeclineNotice&) = default;
};

inline constexpr size_t kMaxDeclineReasonBytes = 256;
// A coordinator asks for a round again for minutes, not for months.
inline constexpr size_t kMaxSettledRounds = 64;

struct DeviceState {
  std::optional<RoundWork> work;           // at most one of work and pending
  std::optional<PendingUpdate> pending;
  std::optional<DeclineNotice> decline;
  std::vector<SettledRound> settled;       // oldest first, at most kMaxSettledRounds

  friend bool operator==(const DeviceState&, const DeviceState&) = default;
};

// What the PayloadStore must keep for `state`.
std::vector<Digest> PayloadsOf(const DeviceState& state);

}  // namespace fleetune
