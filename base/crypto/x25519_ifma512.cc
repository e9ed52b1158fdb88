#include "base/crypto/x25519_ifma512.h"

#if defined(__x86_64__)

#include "base/crypto/field25519_ifma512.h"

namespace fleetune::ifma512 {
namespace {

// Exchanges a and b if `mask` is all ones, and not if it is zero.
[[gnu::always_inline]] inline void SwapLimb(__m512i mask, __m512i& a, __m512i& b) {
  const __m512i change = _mm512_and_si512(mask, _mm512_xor_si512(a, b));
  a = _mm512_xor_si512(a, change);
  b = _mm512_xor_si512(b, change);
}
[[gnu::always_inline]] inline void SwapIf(__m512i mask, Field8& a, Field8& b) {
  SwapLimb(mask, a.l0, b.l0);
  SwapLimb(mask, a.l1, b.l1);
  SwapLimb(mask, a.l2, b.l2);
  SwapLimb(mask, a.l3, b.l3);
  SwapLimb(mask, a.l4, b.l4);
}

// a + 121665 e, (A - 2) / 4 of the curve. `e` tight: below 2^51 + 2^52 + 2 * 2^18 a limb before the carry, so tight.
[[gnu::always_inline]] inline Field8 AddMultiple(const Field8& a, const Field8& e) {
  const __m512i factor = All(121665);
  const __m512i zero = _mm512_setzero_si512();
  const auto doubled_high = [&](__m512i limb) {
    const __m512i high = High(zero, limb, factor);
    return Plus(high, high);
  };
  // The upper part of the highest limb is of weight 2^255: below 2^18, times 19.
  const __m512i t0 = Low(Low(a.l0, e.l0, factor), doubled_high(e.l4), All(19));
  const __m512i t1 = Plus(Low(a.l1, e.l1, factor), doubled_high(e.l0));
  const __m512i t2 = Plus(Low(a.l2, e.l2, factor), doubled_high(e.l1));
  const __m512i t3 = Plus(Low(a.l3, e.l3, factor), doubled_high(e.l2));
  const __m512i t4 = Plus(Low(a.l4, e.l4, factor), doubled_high(e.l3));
  return Carry(t0, t1, t2, t3, t4);
}

}  // namespace

void X25519Eight(const uint8_t* secret, const uint8_t* points, uint8_t* results) {
  // The names are those of RFC 7748.
  const Field8 x1 = Load(points);
  Field8 x2 = SmallConstant(1);
  Field8 z2 = SmallConstant(0);
  Field8 x3 = x1;
  Field8 z3 = SmallConstant(1);
  uint64_t swap = 0;
  for (int t = 254; t >= 0; --t) {
    // Bit 254 is set and bits 0 to 2 are clear, whatever the secret has there. `t` is no secret.
    uint64_t bit = secret[t / 8] >> (t % 8) & 1u;
    if (t == 254) bit = 1;
    if (t < 3) bit = 0;
    swap ^= bit;
    const __m512i mask = All(static_cast<int64_t>(0 - swap));
    SwapIf(mask, x2, x3);
    SwapIf(mask, z2, z3);
    swap = bit;
    const Field8 a = Add(x2, z2);
    const Field8 b = Subtract(x2, z2);
    const Field8 c = Add(x3, z3);
    const Field8 d = Subtract(x3, z3);
    const Field8 da = Multiply(d, a);
    const Field8 cb = Multiply(c, b);
    const Field8 aa = Square(a);
    const Field8 bb = Square(b);
    const Field8 e = Subtract(aa, bb);
    x3 = Square(Add(da, cb));
    z3 = Multiply(x1, Square(Subtract(da, cb)));
    x2 = Multiply(aa, bb);
    z2 = Multiply(e, AddMultiple(aa, e));
  }
  // Bit 0 is clear: nothing is left to swap.
  Store(WordsOf(Canonical(Multiply(x2, Inverse(z2)))), results);
}

}  // namespace fleetune::ifma512

#else  // nobody calls it: IsSupported says no

#include "base/check.h"

namespace fleetune::ifma512 {

void X25519Eight(const uint8_t*, const uint8_t*, uint8_t*) { CHECK(false); }

}  // namespace fleetune::ifma512

#endif
