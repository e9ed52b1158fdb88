#pragma once

// Internal to base/crypto: the kernel of ed25519::VerifyBatch behind CurveKernel::kIfma512. It is compiled with
// instructions that not every machine has, so this header and the .cc include nothing that defines a function
// (mask_stream_vaes512.h).

#include <stdint.h>

namespace fleetune::ifma512 {

// A number below 2^253 as sum of digit[i] 16^i, each -8 to 7 (the last one to 8).
constexpr int kScalarDigits = 64;

// What of a signature goes into one of eight lanes. By digit or byte, then by lane.
struct EdwardsLanes {
  int8_t s[kScalarDigits][8];  // the second half of the signature, below L
  int8_t k[kScalarDigits][8];  // SHA-512 of R, key and message, modulo L
  uint8_t keys[8 * 32];        // encoded points
  uint8_t r[8 * 32];           // the first half of the signature
};

// Bit i: whether key i is a point and [s] B - [k] key has the encoding r, which is what OpenSSL asks. Takes keys whose
// y is not reduced, as OpenSSL does. Everything is public, and the time may tell. Requires
// IsSupported(CurveKernel::kIfma512).
unsigned VerifyEight(const EdwardsLanes& lanes);

}  // namespace fleetune::ifma512
