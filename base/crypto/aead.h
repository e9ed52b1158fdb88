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
Bytes Seal(const Secret32& key, std::span<const uint8_t> plain, std::span<const uint8_t> associated,
           RandomSource& random);

// DataLoss if key, associated bytes or a single bit of `sealed` are not those of Seal.
absl::StatusOr<Bytes> Open(const Secret32& key, std::span<const uint8_t> sealed, std::span<const uint8_t> associated);

// The same without a nonce on the wire: ciphertext, tag (16 bytes). The nonce is zero, which is safe
// only for a key that seals one message and no second, ever: two messages under it would give each other
// away, and the means to forge. So the key is handed over, and wiped; a key that can be derived
// again is the caller's to watch. To send a message again, keep what came back.
inline constexpr size_t kSealOnceOverheadBytes = 16;

Bytes SealOnce(Secret32 key, std::span<const uint8_t> plain, std::span<const uint8_t> associated);

// Opens what SealOnce sealed, as often as one likes. DataLoss as in Open.
absl::StatusOr<Bytes> OpenOnce(const Secret32& key, std::span<const uint8_t> sealed,
                               std::span<const uint8_t> associated);

}  // namespace fleetune
