#pragma once

// Internal to base/crypto: numbers modulo p = 2^255 - 19, eight at a time, one in each 64-bit lane of a register, with
// the multiply-and-add of 52 bits (AVX-512 IFMA). For files that are compiled with these instructions only. Everything
// is of internal linkage and nothing that defines a function is included: the linker must never take a copy of these
// functions for the rest of the program.
//
// A number is five limbs of 51 bits: l0 + 2^51 l1 + 2^102 l2 + 2^153 l3 + 2^204 l4. The limbs may be over 51 bits:
//   tight: below 2^51 + 2^11. What all functions return, and take where nothing else is said.
//   loose: below 2^52. What the multiplier reads; it would drop higher bits.
// No function branches or looks up by a value: all take constant time.

#include <immintrin.h>
#include <stdint.h>

namespace fleetune {
namespace {

struct Field8 {
  __m512i l0, l1, l2, l3, l4;
};

constexpr int kLimbBits51 = 51;
constexpr int64_t kLimbMask51 = (int64_t{1} << kLimbBits51) - 1;

[[gnu::always_inline]] inline __m512i All(int64_t value) { return _mm512_set1_epi64(value); }
[[gnu::always_inline]] inline __m512i Plus(__m512i a, __m512i b) { return _mm512_add_epi64(a, b); }
[[gnu::always_inline]] inline __m512i Upper(__m512i a) { return _mm512_maskz_srli_epi64(0xff, a, kLimbBits51); }
[[gnu::always_inline]] inline __m512i Lower(__m512i a) { return _mm512_and_si512(a, All(kLimbMask51)); }
// sum + the lower, or upper, 52 bits of the product of 52 bits by 52.
[[gnu::always_inline]] inline __m512i Low(__m512i sum, __m512i a, __m512i b) { return _mm512_madd52lo_epu64(sum, a, b); }
[[gnu::always_inline]] inline __m512i High(__m512i sum, __m512i a, __m512i b) { return _mm512_madd52hi_epu64(sum, a, b); }

// The same number in every lane.
[[gnu::always_inline]] inline Field8 Constant(const int64_t (&limbs)[5]) {
  return {All(limbs[0]), All(limbs[1]), All(limbs[2]), All(limbs[3]), All(limbs[4])};
}
[[gnu::always_inline]] inline Field8 SmallConstant(int64_t value) { return Constant({value, 0, 0, 0, 0}); }

// Hands on what is over 51 bits, once and from all limbs at the same time; 2^255 is 19. Tight if at most 2^11 - 1 is
// handed on by each limb, and 107 by t4, times 19.
[[gnu::always_inline]] inline Field8 Carry(__m512i t0, __m512i t1, __m512i t2, __m512i t3, __m512i t4) {
  return {Low(Lower(t0), Upper(t4), All(19)), Plus(Lower(t1), Upper(t0)), Plus(Lower(t2), Upper(t1)),
          Plus(Lower(t3), Upper(t2)), Plus(Lower(t4), Upper(t3))};
}

// Below 2^52 + 2^12 a limb before the carry, which is at most 2: tight.
[[gnu::always_inline]] inline Field8 Add(const Field8& a, const Field8& b) {
  return Carry(Plus(a.l0, b.l0), Plus(a.l1, b.l1), Plus(a.l2, b.l2), Plus(a.l3, b.l3), Plus(a.l4, b.l4));
}

// 2p - a: each limb of 2p, written with limbs of 52 bits, is above any tight one. Loose.
[[gnu::always_inline]] inline Field8 NegateLoose(const Field8& a) {
  const __m512i first = All(2 * kLimbMask51 - 36);  // 2 (2^51 - 19)
  const __m512i other = All(2 * kLimbMask51);
  return {_mm512_sub_epi64(first, a.l0), _mm512_sub_epi64(other, a.l1), _mm512_sub_epi64(other, a.l2),
          _mm512_sub_epi64(other, a.l3), _mm512_sub_epi64(other, a.l4)};
}

// a + (2p - b): below 2^52 + 2^51 + 2^11 a limb before the carry, which is at most 3: tight.
[[gnu::always_inline]] inline Field8 Subtract(const Field8& a, const Field8& b) { return Add(a, NegateLoose(b)); }

// From the columns of a product, column k of weight 2^(51 k). With loose factors a column has at most five lower parts
// and twice five upper parts, each below 2^52, and column k with 19 times column k + 5
//   1 + 19 * 14 = 267, 4 + 19 * 11 = 213, 7 + 19 * 8 = 159, 10 + 19 * 5 = 105, 13 + 19 * 2 = 51
// times 2^52 at most: below 2^61. Handed on are 2 * 267 at most, and 2 * 51 by the last: tight.
[[gnu::always_inline]] inline Field8 MultiplyColumns(const __m512i (&t)[10]) {
  const __m512i nineteen = All(19);
  return Carry(Plus(t[0], _mm512_mullo_epi64(t[5], nineteen)), Plus(t[1], _mm512_mullo_epi64(t[6], nineteen)),
               Plus(t[2], _mm512_mullo_epi64(t[7], nineteen)), Plus(t[3], _mm512_mullo_epi64(t[8], nineteen)),
               Plus(t[4], _mm512_mullo_epi64(t[9], nineteen)));
}

// Factors may be loose. The upper part of a product of limbs has weight 2^52, which is twice that of the next column:
// upper parts are summed first and doubled.
[[gnu::always_inline]] inline Field8 Multiply(const Field8& a, const Field8& b) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i t[10];
  t[0] = zero;
  t[1] = High(zero, a.l0, b.l0);
  t[2] = High(zero, a.l0, b.l1);
  t[3] = High(zero, a.l0, b.l2);
  t[4] = High(zero, a.l0, b.l3);
  t[5] = High(zero, a.l0, b.l4);
  t[6] = High(zero, a.l1, b.l4);
  t[7] = High(zero, a.l2, b.l4);
  t[8] = High(zero, a.l3, b.l4);
  t[9] = High(zero, a.l4, b.l4);
  t[2] = High(t[2], a.l1, b.l0);
  t[3] = High(t[3], a.l1, b.l1);
  t[4] = High(t[4], a.l1, b.l2);
  t[5] = High(t[5], a.l1, b.l3);
  t[6] = High(t[6], a.l2, b.l3);
  t[7] = High(t[7], a.l3, b.l3);
  t[8] = High(t[8], a.l4, b.l3);
  t[3] = High(t[3], a.l2, b.l0);
  t[4] = High(t[4], a.l2, b.l1);
  t[5] = High(t[5], a.l2, b.l2);
  t[6] = High(t[6], a.l3, b.l2);
  t[7] = High(t[7], a.l4, b.l2);
  t[4] = High(t[4], a.l3, b.l0);
  t[5] = High(t[5], a.l3, b.l1);
  t[6] = High(t[6], a.l4, b.l1);
  t[5] = High(t[5], a.l4, b.l0);
#pragma GCC unroll 9
  for (int k = 1; k < 10; ++k) t[k] = Plus(t[k], t[k]);
  t[0] = Low(t[0], a.l0, b.l0);
  t[1] = Low(t[1], a.l0, b.l1);
  t[2] = Low(t[2], a.l0, b.l2);
  t[3] = Low(t[3], a.l0, b.l3);
  t[4] = Low(t[4], a.l0, b.l4);
  t[5] = Low(t[5], a.l1, b.l4);
  t[6] = Low(t[6], a.l2, b.l4);
  t[7] = Low(t[7], a.l3, b.l4);
  t[8] = Low(t[8], a.l4, b.l4);
  t[1] = Low(t[1], a.l1, b.l0);
  t[2] = Low(t[2], a.l1, b.l1);
  t[3] = Low(t[3], a.l1, b.l2);
  t[4] = Low(t[4], a.l1, b.l3);
  t[5] = Low(t[5], a.l2, b.l3);
  t[6] = Low(t[6], a.l3, b.l3);
  t[7] = Low(t[7], a.l4, b.l3);
  t[2] = Low(t[2], a.l2, b.l0);
  t[3] = Low(t[3], a.l2, b.l1);
  t[4] = Low(t[4], a.l2, b.l2);
  t[5] = Low(t[5], a.l3, b.l2);
  t[6] = Low(t[6], a.l4, b.l2);
  t[3] = Low(t[3], a.l3, b.l0);
  t[4] = Low(t[4], a.l3, b.l1);
  t[5] = Low(t[5], a.l4, b.l1);
  t[4] = Low(t[4], a.l4, b.l0);
  return MultiplyColumns(t);
}

// `a` may be loose. Products of two different limbs count twice: column = 2 (2 upper + lower) of them, and 2 upper +
// lower of the squares, in the order that needs the fewest doublings. The sums are those of Multiply.
[[gnu::always_inline]] inline Field8 Square(const Field8& a) {
  const __m512i zero = _mm512_setzero_si512();
  __m512i t[10];
  t[0] = zero;
  t[1] = zero;
  t[2] = High(zero, a.l0, a.l1);
  t[3] = High(zero, a.l0, a.l2);
  t[4] = High(zero, a.l0, a.l3);
  t[5] = High(zero, a.l0, a.l4);
  t[6] = High(zero, a.l1, a.l4);
  t[7] = High(zero, a.l2, a.l4);
  t[8] = High(zero, a.l3, a.l4);
  t[9] = zero;
  t[4] = High(t[4], a.l1, a.l2);
  t[5] = High(t[5], a.l1, a.l3);
  t[6] = High(t[6], a.l2, a.l3);
#pragma GCC unroll 7
  for (int k = 2; k < 9; ++k) t[k] = Plus(t[k], t[k]);
  t[1] = High(t[1], a.l0, a.l0);
  t[3] = High(t[3], a.l1, a.l1);
  t[5] = High(t[5], a.l2, a.l2);
  t[7] = High(t[7], a.l3, a.l3);
  t[9] = High(t[9], a.l4, a.l4);
  t[1] = Low(t[1], a.l0, a.l1);
  t[2] = Low(t[2], a.l0, a.l2);
  t[3] = Low(t[3], a.l0, a.l3);
  t[4] = Low(t[4], a.l0, a.l4);
  t[5] = Low(t[5], a.l1, a.l4);
  t[6] = Low(t[6], a.l2, a.l4);
  t[7] = Low(t[7], a.l3, a.l4);
  t[3] = Low(t[3], a.l1, a.l2);
  t[4] = Low(t[4], a.l1, a.l3);
  t[5] = Low(t[5], a.l2, a.l3);
#pragma GCC unroll 9
  for (int k = 1; k < 10; ++k) t[k] = Plus(t[k], t[k]);
  t[0] = Low(t[0], a.l0, a.l0);
  t[2] = Low(t[2], a.l1, a.l1);
  t[4] = Low(t[4], a.l2, a.l2);
  t[6] = Low(t[6], a.l3, a.l3);
  t[8] = Low(t[8], a.l4, a.l4);
  return MultiplyColumns(t);
}

inline Field8 SquareTimes(Field8 a, int times) {
  for (int i = 0; i < times; ++i) a = Square(a);
  return a;
}

// a^(2^250 - 1) and a^11: of which both exponents below are made.
struct LongPowers {
  Field8 ones250, eleventh;
};
inline LongPowers PowersOf(const Field8& a) {
  const Field8 second = Square(a);
  const Field8 ninth = Multiply(a, SquareTimes(second, 2));
  const Field8 eleventh = Multiply(ninth, second);
  const Field8 ones5 = Multiply(Square(eleventh), ninth);
  const Field8 ones10 = Multiply(SquareTimes(ones5, 5), ones5);
  const Field8 ones20 = Multiply(SquareTimes(ones10, 10), ones10);
  const Field8 ones40 = Multiply(SquareTimes(ones20, 20), ones20);
  const Field8 ones50 = Multiply(SquareTimes(ones40, 10), ones10);
  const Field8 ones100 = Multiply(SquareTimes(ones50, 50), ones50);
  const Field8 ones200 = Multiply(SquareTimes(ones100, 100), ones100);
  return {Multiply(SquareTimes(ones200, 50), ones50), eleventh};
}

// a^(p - 2), p - 2 = (2^250 - 1) 2^5 + 11: the inverse, of zero zero.
inline Field8 Inverse(const Field8& a) {
  const LongPowers powers = PowersOf(a);
  return Multiply(SquareTimes(powers.ones250, 5), powers.eleventh);
}

// a^((p - 5) / 8), (p - 5) / 8 = (2^250 - 1) 2^2 + 1: for square roots.
inline Field8 PowerForRoot(const Field8& a) { return Multiply(SquareTimes(PowersOf(a).ones250, 2), a); }

// Eight numbers of 32 bytes, little-endian; the topmost bit does not count. Below 2^255, which may be p or more.
inline Field8 Load(const uint8_t* bytes) {
  alignas(64) uint64_t words[4][8];
  for (int lane = 0; lane < 8; ++lane) {
    for (int word = 0; word < 4; ++word) __builtin_memcpy(&words[word][lane], bytes + 32 * lane + 8 * word, 8);
  }
  const __m512i w0 = _mm512_load_si512(words[0]);
  const __m512i w1 = _mm512_load_si512(words[1]);
  const __m512i w2 = _mm512_load_si512(words[2]);
  const __m512i w3 = _mm512_load_si512(words[3]);
  const auto pair = [](__m512i low, __m512i high, unsigned bit) {  // 51 bits from this bit of `low` on
    return Lower(_mm512_or_si512(_mm512_maskz_srli_epi64(0xff, low, bit), _mm512_maskz_slli_epi64(0xff, high, 64 - bit)));
  };
  return {Lower(w0), pair(w0, w1, 51), pair(w1, w2, 38), pair(w2, w3, 25),
          Lower(_mm512_maskz_srli_epi64(0xff, w3, 12))};
}

// The one way to write it: below p, limbs of 51 bits. `a` may be loose.
inline Field8 Canonical(const Field8& a) {
  // From the lowest limb on, twice. The first time leaves l0 below 2^51 + 38 and the others at 51 bits; if the second
  // one wraps around again, then l0 is below 38 before 19 is added.
  Field8 r = a;
  for (int pass = 0; pass < 2; ++pass) {
    r.l1 = Plus(r.l1, Upper(r.l0));
    r.l2 = Plus(r.l2, Upper(r.l1));
    r.l3 = Plus(r.l3, Upper(r.l2));
    r.l4 = Plus(r.l4, Upper(r.l3));
    r = {Low(Lower(r.l0), Upper(r.l4), All(19)), Lower(r.l1), Lower(r.l2), Lower(r.l3), Lower(r.l4)};
  }
  // Now five limbs of 51 bits. They are p or more if adding 19 reaches 2^255; then 19 is added and 2^255 dropped.
  __m512i over = Upper(Plus(r.l0, All(19)));
  over = Upper(Plus(r.l1, over));
  over = Upper(Plus(r.l2, over));
  over = Upper(Plus(r.l3, over));
  over = Upper(Plus(r.l4, over));
  r.l0 = Low(r.l0, over, All(19));
  r.l1 = Plus(r.l1, Upper(r.l0));
  r.l2 = Plus(r.l2, Upper(r.l1));
  r.l3 = Plus(r.l3, Upper(r.l2));
  r.l4 = Plus(r.l4, Upper(r.l3));
  return {Lower(r.l0), Lower(r.l1), Lower(r.l2), Lower(r.l3), Lower(r.l4)};
}

// The 32 bytes of each, little-endian, as four words.
struct Words8 {
  __m512i w0, w1, w2, w3;
};
[[gnu::always_inline]] inline Words8 WordsOf(const Field8& canonical) {
  const auto join = [](__m512i low, unsigned drop, __m512i high, unsigned shift) {
    return _mm512_or_si512(_mm512_maskz_srli_epi64(0xff, low, drop), _mm512_maskz_slli_epi64(0xff, high, shift));
  };
  const Field8& a = canonical;
  return {join(a.l0, 0, a.l1, 51), join(a.l1, 13, a.l2, 38), join(a.l2, 26, a.l3, 25), join(a.l3, 39, a.l4, 12)};
}
[[gnu::always_inline]] inline void Store(const Words8& words, uint8_t* bytes) {
  alignas(64) uint64_t lanes[4][8];
  _mm512_store_si512(lanes[0], words.w0);
  _mm512_store_si512(lanes[1], words.w1);
  _mm512_store_si512(lanes[2], words.w2);
  _mm512_store_si512(lanes[3], words.w3);
  for (int lane = 0; lane < 8; ++lane) {
    for (int word = 0; word < 4; ++word) __builtin_memcpy(bytes + 32 * lane + 8 * word, &lanes[word][lane], 8);
  }
}

// Lane by lane `chosen` where the bit of `lanes` is set, else `other`.
[[gnu::always_inline]] inline Field8 Select(__mmask8 lanes, const Field8& chosen, const Field8& other) {
  return {_mm512_mask_mov_epi64(other.l0, lanes, chosen.l0), _mm512_mask_mov_epi64(other.l1, lanes, chosen.l1),
          _mm512_mask_mov_epi64(other.l2, lanes, chosen.l2), _mm512_mask_mov_epi64(other.l3, lanes, chosen.l3),
          _mm512_mask_mov_epi64(other.l4, lanes, chosen.l4)};
}

// The lanes in which a is zero modulo p. `a` may be loose.
inline __mmask8 ZeroLanes(const Field8& a) {
  const Field8 r = Canonical(a);
  const __m512i any =
      _mm512_or_si512(_mm512_or_si512(_mm512_or_si512(r.l0, r.l1), _mm512_or_si512(r.l2, r.l3)), r.l4);
  return _mm512_testn_epi64_mask(any, any);
}

}  // namespace
}  // namespace fleetune
