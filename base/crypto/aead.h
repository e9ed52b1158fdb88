#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/crypto/secret.h"
#include "base/random.h"

namespace fleetune {

// AES-256-GCM (SP 800-38D). A sealed message is nonce (12 bytes), ciphertext, tag (16 bytes).
inline constexpr size_t kSealOverheadBytes = 28;

// Seals under a nonce from `random`: at most 2^32 messages a key.
Bytes Seal(const Secret32& key, std::span<const uint8_t> plain,
           std::span<const uint8_t> associated, RandomSource& random);

// DataLoss if key, associated bytes or a single bit of `sealed` are not those of Seal.
absl::StatusOr<Bytes> Open(const Secret32& key, std::span<const uint8_t> sealed,
                           std::span<const uint8_t> associated);

// HKDF-SHA256 (RFC 5869), 32 bytes for one named purpose. `salt` may be empty.
// Requires a `key` that is not empty and a `purpose` of at most 1,024 bytes; checked.
Secret32 DeriveKey(std::span<const uint8_t> key, std::span<const uint8_t> salt,
                   std::span<const uint8_t> purpose);

}  // namespace fleetune
