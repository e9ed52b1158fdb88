#include "aggregation/secagg/transcript.h"

#include <algorithm>
#include <string>

#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {

std::string Label(std::string_view name) { return fmt::format("fleetune-secagg/1/{}", name); }

Digest LabelledHash(std::string_view name, std::initializer_list<std::span<const uint8_t>> parts) {
  Sha256Stream stream;
  stream.Add(AsBytes(Label(name)));
  for (const std::span<const uint8_t> part : parts) {
    ByteWriter length;
    length.Write(static_cast<uint64_t>(part.size()));
    stream.Add(length.bytes());
    stream.Add(part);
  }
  return stream.Finish();
}

Digest ConfigHash(std::span<const uint8_t> config) { return LabelledHash("config", {config}); }

void WriteHead(MessageKind kind, const Digest& session, ByteWriter& writer) {
  writer.Write(static_cast<uint8_t>(kind));
  writer.WriteBytes(session.bytes);
}

absl::Status ReadHead(MessageKind kind, const Digest& session, ByteReader& reader) {
  ASSIGN_OR_RETURN(const uint8_t got, reader.Read<uint8_t>());
  if (got != static_cast<uint8_t>(kind)) {
    return absl::InvalidArgumentError(
        fmt::format("message: expected kind {}, got {}", static_cast<int>(kind), static_cast<int>(got)));
  }
  ASSIGN_OR_RETURN(const std::span<const uint8_t> id, reader.ReadBytes(session.bytes.size()));
  if (!std::ranges::equal(id, session.bytes)) {
    return absl::InvalidArgumentError("message: it belongs to another session");
  }
  return absl::OkStatus();
}

absl::StatusOr<MessageKind> PeekKind(std::span<const uint8_t> message) {
  if (message.empty() || message[0] < 1 || message[0] > static_cast<uint8_t>(MessageKind::kUnmask)) {
    return absl::InvalidArgumentError("message: of no known kind");
  }
  return static_cast<MessageKind>(message[0]);
}

}  // namespace fleetune::secagg
