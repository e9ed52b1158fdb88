#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/crypto/secret.h"

namespace fleetune {

// HKDF-SHA256 (RFC 5869): keys for named purposes out of a secret that may be uneven, such as the
// result of a key agreement. Thread-safe.

inline constexpr size_t kMaxPurposeBytes = 1024;      // far more than any has
inline constexpr size_t kMaxDerivedBytes = 255 * 32;  // RFC 5869, section 2.3

// 32 bytes for one named purpose. `salt` may be empty.
// Requires a `key` that is not empty and a `purpose` of at most kMaxPurposeBytes; checked.
Secret32 DeriveKey(std::span<const uint8_t> key, std::span<const uint8_t> salt, std::span<const uint8_t> purpose);

// Fills `derived` instead, which the caller wipes if it is a secret: 1 to kMaxDerivedBytes; checked.
// Its first 32 bytes are DeriveKey's, so give one purpose to one of the two only.
void DeriveBytes(std::span<const uint8_t> key, std::span<const uint8_t> salt, std::span<const uint8_t> purpose,
                 std::span<uint8_t> derived);

}  // namespace fleetune
