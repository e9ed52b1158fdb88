#pragma once

// Internal to base/crypto: many signatures at once, over bare messages, for the published vectors.
// Everybody else: base/crypto/signature_batch.h.

#include <cstdint>
#include <span>
#include <vector>

#include "base/crypto/curve_kernel.h"

namespace fleetune::ed25519 {

// What Verify is asked. Borrows.
struct Claim {
  std::span<const uint8_t, 32> public_key;
  std::span<const uint8_t> message;
  std::span<const uint8_t, 64> signature;
};

// Result i is Verify of claim i: what the fast kernel does not accept, OpenSSL decides. Requires a supported `kernel`;
// checked.
std::vector<bool> VerifyEach(std::span<const Claim> claims, CurveKernel kernel);

// What CurveKernel::kIfma512 accepts by itself: the same, which only a test needs to know. Requires its support.
std::vector<bool> AcceptEach(std::span<const Claim> claims);

}  // namespace fleetune::ed25519
