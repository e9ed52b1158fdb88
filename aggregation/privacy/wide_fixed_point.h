#pragma once

#include <cstdint>

#include "base/check.h"

namespace fleetune {

// Fractions of 128 bits for the noise sampler: exact integer arithmetic, the same bits on every machine, no
// floating point. "Q128" is a fraction f in [0, 1) held as floor(f * 2^128). Needs a compiler with 128-bit
// integers (GCC or Clang for a 64-bit target). Pure functions, so thread-safe.
using Uint128 = unsigned __int128;
using Int128 = __int128;

// floor(a * b / 2^128).
inline Uint128 MultiplyHigh(Uint128 a, Uint128 b) {
  const uint64_t a_low = static_cast<uint64_t>(a), a_high = static_cast<uint64_t>(a >> 64);
  const uint64_t b_low = static_cast<uint64_t>(b), b_high = static_cast<uint64_t>(b >> 64);
  const Uint128 low = static_cast<Uint128>(a_low) * b_low;
  const Uint128 cross = static_cast<Uint128>(a_high) * b_low + (low >> 64);  // cannot overflow
  const Uint128 other = static_cast<Uint128>(a_low) * b_high + static_cast<uint64_t>(cross);
  return static_cast<Uint128>(a_high) * b_high + (cross >> 64) + (other >> 64);
}

// floor(numerator * 2^128 / denominator): the quotient as Q128, by long division (128 steps: for tables, not
// for loops over a vector). Requires numerator < denominator; checked.
inline Uint128 FractionOf(Uint128 numerator, Uint128 denominator) {
  CHECK(numerator < denominator);
  Uint128 quotient = 0;
  Uint128 rest = numerator;
  for (int bit = 0; bit < 128; ++bit) {
    const bool carry = rest >> 127 != 0;
    rest <<= 1;
    quotient <<= 1;
    if (carry || rest >= denominator) {
      rest -= denominator;
      quotient |= 1;
    }
  }
  return quotient;
}

}  // namespace fleetune
