#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"

namespace fleetune {

inline constexpr size_t kMaxDeviceIdBytes = 64;
inline constexpr size_t kMaxRoundReasonBytes = 256;  // of a decline or an abort, and of who aborted

// How one round runs. Only the deadline changes while it is open: EnoughCounted may bring it forward.
struct RoundOptions {
  uint32_t places = 1;           // devices at a time, declined ones left out: 1 .. kMaxSummedInputs
  uint32_t needed = 1;           // fewest updates that make a version: 1 .. places
  uint32_t fewest_together = 1;  // that are counted at once: a cell's smallest sum, 1 without cells; 1 .. places
  TimePoint deadline;

  friend bool operator==(const RoundOptions&, const RoundOptions&) = default;
};

// What happened in a round. Past events of the durable log rebuild the round (round_machine.h).
struct RoundOpened {
  RoundOptions options;
  uint32_t from_version = 0;
  TimePoint time;

  friend bool operator==(const RoundOpened&, const RoundOpened&) = default;
};
struct DeviceInvited {
  std::string device;
  TimePoint time;

  friend bool operator==(const DeviceInvited&, const DeviceInvited&) = default;
};
struct UploadOpened {
  std::string device;

  friend bool operator==(const UploadOpened&, const UploadOpened&) = default;
};
struct UpdateCounted {
  std::string device;
  uint64_t bytes = 0;

  friend bool operator==(const UpdateCounted&, const UpdateCounted&) = default;
};
// The sum of a cell was opened and added: these devices are counted, all or none.
struct CellCounted {
  std::vector<std::string> devices;  // at most kMaxSummedInputs
  uint64_t bytes = 0;                // of the update of each

  friend bool operator==(const CellCounted&, const CellCounted&) = default;
};
struct DeviceDeclined {
  std::string device;
  std::string reason;

  friend bool operator==(const DeviceDeclined&, const DeviceDeclined&) = default;
};
struct DeadlinePassed {
  TimePoint time;

  friend bool operator==(const DeadlinePassed&, const DeadlinePassed&) = default;
};
// Enough updates are counted: the other devices are waited for until `deadline` and no longer.
struct EnoughCounted {
  TimePoint deadline;

  friend bool operator==(const EnoughCounted&, const EnoughCounted&) = default;
};
struct RoundAborted {
  std::string by;
  std::string reason;

  friend bool operator==(const RoundAborted&, const RoundAborted&) = default;
};
struct VersionMade {
  uint32_t version = 0;
  double total_weight = 0;
  double mean_delta_norm = 0;
  // What encoding did to the updates, as averages over devices (EncodingTelemetry), each in [0, 1].
  double clamped_share = 0;
  double clipped_devices_share = 0;
  double mean_peak_share = 0;

  friend bool operator==(const VersionMade&, const VersionMade&) = default;
};
using RoundEvent = std::variant<RoundOpened, DeviceInvited, UploadOpened, UpdateCounted, DeviceDeclined, DeadlinePassed,
                                RoundAborted, VersionMade, CellCounted, EnoughCounted>;

// As it lies in the log: one byte for the kind, then its fields in little-endian, texts with a u32 length.
// Texts over their limit are cut.
Bytes EncodeRoundEvent(const RoundEvent& event);

// DataLoss if it is cut off or has bytes left over; InvalidArgument for an unknown kind, options out of range,
// or an empty device; ResourceExhausted for a text over its limit.
absl::StatusOr<RoundEvent> DecodeRoundEvent(std::span<const uint8_t> bytes);

}  // namespace fleetune
