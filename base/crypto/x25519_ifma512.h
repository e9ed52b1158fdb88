#pragma once

// Internal to base/crypto: the kernel of X25519Batch behind CurveKernel::kIfma512. It is compiled with instructions that
// not every machine has, so this header and the .cc include nothing that defines a function (mask_stream_vaes512.h).

#include <stdint.h>

namespace fleetune::ifma512 {

// X25519 (RFC 7748, section 5) of one secret with eight points: `secret` has 32 bytes, `points` and `results` 8 times
// 32. Neither branches nor looks up by the secret or what follows from it. What it leaves on the stack below its
// caller is secret: WipeStack. Requires IsSupported(CurveKernel::kIfma512).
void X25519Eight(const uint8_t* secret, const uint8_t* points, uint8_t* results);

}  // namespace fleetune::ifma512
