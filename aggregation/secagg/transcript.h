#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/digest.h"

namespace fleetune::secagg {

// "fleetune-secagg/1/<name>": what every hash and every key derivation of the protocol begins with.
std::string Label(std::string_view name);

// SHA-256 of the label and the parts, each with its length before it, so that no two lists of parts hash alike.
Digest LabelledHash(std::string_view name, std::initializer_list<std::span<const uint8_t>> parts);

// cfg: names a session before its roster is known. Of EncodeSessionConfig's bytes.
Digest ConfigHash(std::span<const uint8_t> config);

// What a message is. Wire values; each but kAdvertise is preceded by the session's id, that one by cfg.
enum class MessageKind : uint8_t {
  kAdvertise = 1,
  kRoster = 2,
  kShareKeys = 3,
  kShares = 4,
  kView = 5,
  kViewSignature = 6,
  kUnmaskRequest = 7,
  kUnmask = 8,
};

// Kind and session at the head of every message.
void WriteHead(MessageKind kind, const Digest& session, ByteWriter& writer);
// InvalidArgument if the message is of another kind or another session (also of an earlier one: a replay).
absl::Status ReadHead(MessageKind kind, const Digest& session, ByteReader& reader);

// The kind of a message, unread otherwise. InvalidArgument if there is none.
absl::StatusOr<MessageKind> PeekKind(std::span<const uint8_t> message);

}  // namespace fleetune::secagg
