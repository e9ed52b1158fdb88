#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/secagg/bitmap.h"
#include "aggregation/secagg/inclusion.h"
#include "aggregation/secagg/shamir.h"
#include "base/bytes.h"
#include "base/crypto/signature.h"
#include "base/digest.h"

namespace fleetune::secagg {

// Phase 4, coordinator to device. `alive` and `dropped` are positions among its neighbours in ascending order of seats:
// of an alive one it is to release the share of the self seed, of a dropped one that of the mask key.
struct UnmaskRequest {
  Bitmap survivors;  // V, seats of the roster
  Bitmap alive;
  Bitmap dropped;
  Bitmap vouching;                    // profile M: neighbours whose view signatures follow; else empty
  std::vector<Signature> signatures;  // in the order of `vouching`
  // Profile M, that is where anybody vouches: of each alive neighbour what it masked its input with; else empty.
  std::vector<Inclusion> inclusions;

  friend bool operator==(const UnmaskRequest&, const UnmaskRequest&) = default;
};
Bytes EncodeUnmaskRequest(const UnmaskRequest& request, const Digest& session);
// InvalidArgument also if a neighbour is both alive and dropped.
absl::StatusOr<UnmaskRequest> ParseUnmaskRequest(std::span<const uint8_t> message, const Digest& session,
                                                 uint32_t cohort, uint32_t neighbours);

// Phase 4, device to coordinator: a share of each alive or dropped neighbour's secret, but of those whose sealed shares
// could not be opened; in a complete graph also, at the end, of its own self seed.
struct UnmaskMessage {
  Bitmap given;               // among the neighbours that were asked for, in ascending order of seats, and itself
  std::vector<Share> shares;  // in the order of `given`
  Signature signature{};
};
// What is signed (SignPurpose::kSecAggUnmask): which view was answered, and the shares.
Bytes SignedPart(const UnmaskMessage& message, const Digest& session, const Digest& view_hash);
Bytes EncodeUnmask(const UnmaskMessage& message, const Digest& session, const Digest& view_hash);
// `asked`: neighbours that were alive or dropped, and itself in a complete graph. InvalidArgument for another view or a
// share that is none; DataLoss.
absl::StatusOr<UnmaskMessage> ParseUnmask(std::span<const uint8_t> message, const Digest& session,
                                          const Digest& view_hash, uint32_t asked);

}  // namespace fleetune::secagg
