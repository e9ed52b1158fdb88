#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/secagg/advertise.h"
#include "aggregation/secagg/bitmap.h"
#include "aggregation/secagg/shamir.h"
#include "base/bytes.h"
#include "base/crypto/secret.h"
#include "base/crypto/signature.h"
#include "base/crypto/x25519.h"
#include "base/digest.h"

namespace fleetune::secagg {

// What one neighbour receives of a device's secrets: a share of its self seed b and one of its mask key s.
struct SharePair {
  Share seed;
  Share mask_key;
};
inline constexpr size_t kSharePairBytes = 80;
inline constexpr size_t kSealedPairBytes = kSharePairBytes + 16;  // AES-256-GCM's tag
using SealedPair = std::array<uint8_t, kSealedPairBytes>;

// One direction between two neighbours. Its key is used for one message of one session.
struct ShareRoute {
  const Digest& session;
  std::string_view from;  // devices
  std::string_view to;
  PublicKey from_key{};  // their channel keys
  PublicKey to_key{};
  uint32_t from_seat = 0;
  uint32_t to_seat = 0;
};
// `mine` is the channel key of the end that calls. InvalidArgument if the other's key is of small order.
absl::StatusOr<SealedPair> SealShares(const SharePair& shares, const ShareRoute& route, const X25519Key& mine);
// DataLoss if it was not sealed for this route; InvalidArgument if it holds no shares.
absl::StatusOr<SharePair> OpenShares(const SealedPair& sealed, const ShareRoute& route, const X25519Key& mine);

// Phase 1, device to coordinator: sealed shares for its neighbours, in ascending order of seats, and h.
struct ShareKeysMessage {
  std::vector<SealedPair> sealed;
  Digest seed_hash;  // h, SeedHash of b
  Signature signature{};

  friend bool operator==(const ShareKeysMessage&, const ShareKeysMessage&) = default;
};
// h = H("b", sid, device, b).
Digest SeedHash(const Digest& session, std::string_view device, const Secret32& seed);

// What is signed (SignPurpose::kSecAggShareKeys).
Bytes SignedPart(const ShareKeysMessage& message, const Digest& session);
Bytes EncodeShareKeys(const ShareKeysMessage& message, const Digest& session);
// InvalidArgument unless it holds `neighbours` sealed pairs; DataLoss.
absl::StatusOr<ShareKeysMessage> ParseShareKeys(std::span<const uint8_t> message, const Digest& session,
                                                uint32_t neighbours);

// What a message that ParseShareKeys took holds for the neighbour at this position, without reading the rest.
SealedPair SealedIn(std::span<const uint8_t> message, uint32_t position);

// Phase 2, coordinator to device: which of its neighbours shared (A1, positions among the neighbours in ascending order
// of seats), and what those sealed for it, in the same order.
struct SharesMessage {
  Bitmap shared;
  std::vector<SealedPair> sealed;

  friend bool operator==(const SharesMessage&, const SharesMessage&) = default;
};
Bytes EncodeShares(const SharesMessage& message, const Digest& session);
absl::StatusOr<SharesMessage> ParseShares(std::span<const uint8_t> message, const Digest& session, uint32_t neighbours);

}  // namespace fleetune::secagg
