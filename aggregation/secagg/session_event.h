#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/bytes.h"

namespace fleetune::secagg {

// What happened in a session on the coordinator: its durable log rebuilds it.
struct SessionEvent {
  enum class Kind : uint8_t {  // stored values
    kOpened = 1,               // body: the config's bytes
    kAdvertised = 2,           // body: the advertisement
    kRosterClosed = 3,
    kShared = 4,        // seat, body: its share-keys message
    kSharesClosed = 5,  // A1 is fixed
    kCommitted = 6,     // seat: its input is in the sum, durable in the same write
    kInputsClosed = 7,  // V is fixed: there is never a second one
    kViewSigned = 8,    // seat, body: its view signature
    kViewsClosed = 9,
    kUnmasked = 10,  // seat, body: its unmask message
    kFinished = 11,  // the sum is unmasked, durable in the same write
    kFailed = 12,    // body: why, in words
  };
  Kind kind = Kind::kOpened;
  uint32_t seat = 0;
  Bytes body;

  friend bool operator==(const SessionEvent&, const SessionEvent&) = default;
};

Bytes EncodeSessionEvent(const SessionEvent& event);
// DataLoss, InvalidArgument (of no known kind).
absl::StatusOr<SessionEvent> ParseSessionEvent(std::span<const uint8_t> bytes);

}  // namespace fleetune::secagg
