#include "aggregation/secagg/session_event.h"

#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {

Bytes EncodeSessionEvent(const SessionEvent& event) {
  ByteWriter writer;
  writer.Write(static_cast<uint8_t>(event.kind));
  writer.Write(event.seat);
  writer.WriteBytes(event.body);
  return writer.Take();
}

absl::StatusOr<SessionEvent> ParseSessionEvent(std::span<const uint8_t> bytes) {
  ByteReader reader(bytes);
  ASSIGN_OR_RETURN(const uint8_t kind, reader.Read<uint8_t>());
  if (kind < 1 || kind > static_cast<uint8_t>(SessionEvent::Kind::kFailed)) {
    return absl::InvalidArgumentError(fmt::format("session event: unknown kind {}", kind));
  }
  SessionEvent event{.kind = static_cast<SessionEvent::Kind>(kind), .body = {}};
  ASSIGN_OR_RETURN(event.seat, reader.Read<uint32_t>());
  ASSIGN_OR_RETURN(const std::span<const uint8_t> body, reader.ReadBytes(reader.remaining()));
  event.body.assign(body.begin(), body.end());
  return event;
}

}  // namespace fleetune::secagg
