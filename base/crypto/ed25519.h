#pragma once

// Internal to base/crypto: Ed25519 (RFC 8032) over bare messages, for the published vectors.
// Everybody else signs with a purpose: base/crypto/signature.h.

#include <array>
#include <cstdint>
#include <span>

namespace fleetune::ed25519 {

std::array<uint8_t, 32> PublicKey(std::span<const uint8_t, 32> seed);

std::array<uint8_t, 64> Sign(std::span<const uint8_t, 32> seed, std::span<const uint8_t> message);

bool Verify(std::span<const uint8_t, 32> public_key, std::span<const uint8_t> message,
            std::span<const uint8_t, 64> signature);

// True if `raw` encodes a point of the curve (RFC 8032, section 5.1.3) whose order is
// not 1, 2, 4 or 8.
bool IsUsablePoint(std::span<const uint8_t, 32> raw);

}  // namespace fleetune::ed25519
