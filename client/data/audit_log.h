#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/digest.h"
#include "client/data/database.h"

namespace fleetune {

enum class AuditDirection : uint8_t { kLeft = 1, kCame = 2, kLocal = 3 };  // stored values

// One thing that happened on the device, in words that its owner understands, e.g. "Sent the masked
// update of round r-17 (task home-assistant, learnt from 120 examples)". Never an example, never a secret.
struct AuditEntry {
  int64_t sequence = 0;  // 1, 2, 3, ... without gaps; set by Append
  TimePoint time;
  AuditDirection direction = AuditDirection::kLocal;
  uint64_t bytes = 0;    // that left or came; 0 for kLocal
  std::string text;      // 1 to kMaxAuditTextBytes bytes

  friend bool operator==(const AuditEntry&, const AuditEntry&) = default;
};

inline constexpr size_t kMaxAuditTextBytes = 2048;

// The device's own record of what left it and what came. Append-only, and each entry's hash covers the
// one before, so an entry that was changed, taken out or put in between is found. Whoever may write the
// database can make a whole new chain: to rule that out, keep the head that Verify() gives elsewhere.
//
// Lies in the same database as the examples (data.db) and outlives `data purge`. Several processes may
// append. Not thread-safe.
class DeviceAuditLog {
 public:
  // In the folder `dir`, which must exist.
  static absl::StatusOr<DeviceAuditLog> Open(const std::string& dir);

  // Durable when it returns. InvalidArgument for a text out of range. `entry.sequence` is ignored;
  // the one that it got is returned.
  absl::StatusOr<int64_t> Append(const AuditEntry& entry);

  // Up to `limit` entries with a sequence of at least `first`, in order.
  absl::StatusOr<std::vector<AuditEntry>> Read(int64_t first, uint32_t limit);

  // The newest `limit` entries, in order.
  absl::StatusOr<std::vector<AuditEntry>> ReadLast(uint32_t limit);

  // The hash of the last entry (all zeros of an empty log), once the whole chain has been recomputed.
  // DataLoss naming the first entry that does not fit.
  absl::StatusOr<Digest> Verify();

 private:
  explicit DeviceAuditLog(DeviceDatabase database) : database_(std::move(database)) {}
  DeviceDatabase database_;
};

}  // namespace fleetune
