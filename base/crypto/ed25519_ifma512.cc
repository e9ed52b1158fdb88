#include "base/crypto/ed25519_ifma512.h"

#if defined(__x86_64__)

#include "base/crypto/ed25519_base_multiples.h"
#include "base/crypto/field25519_ifma512.h"

namespace fleetune::ifma512 {
namespace {

// Of the curve -x^2 + y^2 = 1 + d x^2 y^2 (RFC 8032, section 5.1): d, 2d and a root of -1.
constexpr int64_t kD[5] = {0x34dca135978a3, 0x1a8283b156ebd, 0x5e7a26001c029, 0x739c663a03cbb, 0x52036cee2b6ff};
constexpr int64_t kTwiceD[5] = {0x69b9426b2f159, 0x35050762add7a, 0x3cf44c0038052, 0x6738cc7407977, 0x2406d9dc56dff};
constexpr int64_t kRootOfMinusOne[5] = {0x61b274a0ea0b0, 0x0d5a5fc8f189d, 0x7ef5e9cbd0c60, 0x78595a6804c9e,
                                        0x2b8324804fc1d};

// x = X / Z, y = Y / Z, and, where T is used, x y = T / Z (Hisil et al. 2008). The formulas hold for all points of the
// curve, of small order too.
struct Point8 {
  Field8 x, y, z, t;
};

// What an addition needs of its second point.
struct Addend8 {
  Field8 y_plus_x, y_minus_x, twice_z, twice_d_t;
};

// X = e f, Y = g h, Z = f g, and, if it is used next, T = e h.
[[gnu::always_inline]] inline Point8 PointOf(const Field8& e, const Field8& f, const Field8& g, const Field8& h,
                                             bool with_t) {
  Point8 p{Multiply(e, f), Multiply(g, h), Multiply(f, g), SmallConstant(0)};
  if (with_t) p.t = Multiply(e, h);
  return p;
}

[[gnu::always_inline]] inline Point8 Double(const Point8& p, bool with_t) {
  const Field8 xx = Square(p.x);
  const Field8 yy = Square(p.y);
  const Field8 zz = Square(p.z);
  const Field8 h = Add(yy, xx);
  const Field8 g = Subtract(yy, xx);
  const Field8 e = Subtract(Square(Add(p.x, p.y)), h);
  const Field8 f = Subtract(Add(zz, zz), g);
  return PointOf(e, f, g, h, with_t);
}
[[gnu::noinline]] Point8 DoubleOnce(const Point8& p) { return Double(p, true); }

// The same but for T is Double four times.
[[gnu::noinline]] Point8 TimesSixteen(Point8 p) {
  for (int i = 0; i < 3; ++i) p = Double(p, false);
  return Double(p, true);
}

// `twice_z`: 2 Z1 Z2.
[[gnu::always_inline]] inline Point8 AddWith(const Point8& p, const Field8& y_plus_x, const Field8& y_minus_x,
                                             const Field8& twice_d_t, const Field8& twice_z, bool with_t) {
  const Field8 a = Multiply(Subtract(p.y, p.x), y_minus_x);
  const Field8 b = Multiply(Add(p.y, p.x), y_plus_x);
  const Field8 c = Multiply(p.t, twice_d_t);
  return PointOf(Subtract(b, a), Subtract(twice_z, c), Add(twice_z, c), Add(b, a), with_t);
}
[[gnu::noinline]] Point8 AddPoints(const Point8& p, const Addend8& q) {
  return AddWith(p, q.y_plus_x, q.y_minus_x, q.twice_d_t, Multiply(p.z, q.twice_z), true);
}

[[gnu::noinline]] Addend8 AddendOf(const Point8& p) {
  return {Add(p.y, p.x), Subtract(p.y, p.x), Add(p.z, p.z), Multiply(p.t, Constant(kTwiceD))};
}

[[gnu::always_inline]] inline __m512i DigitsOf(const int8_t* eight) {
  return _mm512_maskz_cvtepi8_epi64(0xff, _mm_loadl_epi64(reinterpret_cast<const __m128i*>(eight)));
}

// Multiples 1 to 8 of a point in each lane.
struct Multiples8 {
  Addend8 of[8];
};
[[gnu::noinline]] void MakeMultiples(const Point8& p, Multiples8* multiples) {
  multiples->of[0] = AddendOf(p);
  const Point8 p2 = DoubleOnce(p);
  multiples->of[1] = AddendOf(p2);
  const Point8 p3 = AddPoints(p2, multiples->of[0]);
  multiples->of[2] = AddendOf(p3);
  const Point8 p4 = DoubleOnce(p2);
  multiples->of[3] = AddendOf(p4);
  multiples->of[4] = AddendOf(AddPoints(p4, multiples->of[0]));
  const Point8 p6 = DoubleOnce(p3);
  multiples->of[5] = AddendOf(p6);
  multiples->of[6] = AddendOf(AddPoints(p6, multiples->of[0]));
  multiples->of[7] = AddendOf(DoubleOnce(p4));
}

// p + digit times the point. A negative addend has its first two members exchanged and its last one negated.
[[gnu::noinline]] Point8 AddMultiple(const Point8& p, const Multiples8& multiples, __m512i digit) {
  const __m512i size = _mm512_maskz_abs_epi64(0xff, digit);
  const __mmask8 negative = _mm512_movepi64_mask(digit);
  Addend8 q{SmallConstant(1), SmallConstant(1), SmallConstant(2), SmallConstant(0)};
  for (int i = 0; i < 8; ++i) {
    const __mmask8 here = _mm512_cmpeq_epi64_mask(size, All(i + 1));
    const Addend8& multiple = multiples.of[i];
    q = {Select(here, multiple.y_plus_x, q.y_plus_x), Select(here, multiple.y_minus_x, q.y_minus_x),
         Select(here, multiple.twice_z, q.twice_z), Select(here, multiple.twice_d_t, q.twice_d_t)};
  }
  return AddPoints(p, {Select(negative, q.y_minus_x, q.y_plus_x), Select(negative, q.y_plus_x, q.y_minus_x), q.twice_z,
                       Select(negative, NegateLoose(q.twice_d_t), q.twice_d_t)});
}

// p + digit B, without T. One instruction looks a limb up in all lanes.
[[gnu::noinline]] Point8 AddBaseMultiple(const Point8& p, __m512i digit) {
  const __m512i index = _mm512_sub_epi64(_mm512_maskz_abs_epi64(0xff, digit), All(1));
  const __mmask8 negative = _mm512_movepi64_mask(digit);
  const __mmask8 some = _mm512_test_epi64_mask(digit, digit);
  const auto look_up = [&](const uint64_t (&limbs)[5][8], int64_t without) {
    const auto limb = [&](int i) {
      return _mm512_mask_permutexvar_epi64(All(i == 0 ? without : 0), some, index, _mm512_load_si512(limbs[i]));
    };
    return Field8{limb(0), limb(1), limb(2), limb(3), limb(4)};
  };
  const Field8 y_plus_x = look_up(kBaseMultiples[0], 1);
  const Field8 y_minus_x = look_up(kBaseMultiples[1], 1);
  const Field8 twice_d_t = look_up(kBaseMultiples[2], 0);
  return AddWith(p, Select(negative, y_minus_x, y_plus_x), Select(negative, y_plus_x, y_minus_x),
                 Select(negative, NegateLoose(twice_d_t), twice_d_t), Add(p.z, p.z), false);
}

// Bit 255 of each lane's 32 bytes.
__mmask8 TopBits(const uint8_t* bytes) {
  unsigned bits = 0;
  for (int lane = 0; lane < 8; ++lane) bits |= static_cast<unsigned>(bytes[32 * lane + 31] >> 7) << lane;
  return static_cast<__mmask8>(bits);
}

__mmask8 OddLanes(const Field8& canonical) { return _mm512_test_epi64_mask(canonical.l0, All(1)); }

// The negatives of the points that `keys` encode (RFC 8032, section 5.1.3), and the lanes in which they are some.
__mmask8 NegatedPoints(const uint8_t* keys, Point8* points) {
  const Field8 one = SmallConstant(1);
  const Field8 y = Load(keys);
  const Field8 yy = Square(y);
  const Field8 u = Subtract(yy, one);
  const Field8 v = Add(Multiply(yy, Constant(kD)), one);
  const Field8 v3 = Multiply(Square(v), v);
  Field8 x = Multiply(Multiply(u, v3), PowerForRoot(Multiply(Multiply(u, v3), Square(Square(v)))));
  const Field8 vxx = Multiply(v, Square(x));
  const __mmask8 is_root = ZeroLanes(Subtract(vxx, u));
  const __mmask8 is_other_root = ZeroLanes(Add(vxx, u));
  x = Select(is_root, x, Multiply(x, Constant(kRootOfMinusOne)));
  // Turned so that its sign is not the one that the key asks for. Zero has one sign only, as for OpenSSL.
  const auto same_sign = static_cast<__mmask8>(~(OddLanes(Canonical(x)) ^ TopBits(keys)));
  x = Select(same_sign, Subtract(SmallConstant(0), x), x);
  *points = {x, y, one, Multiply(x, y)};
  return is_root | is_other_root;
}

// The lanes whose point has this encoding.
__mmask8 HaveEncoding(const Point8& p, const uint8_t* encodings) {
  const Field8 inverse = Inverse(p.z);
  const Words8 got = WordsOf(Canonical(Multiply(p.y, inverse)));
  alignas(64) uint64_t words[4][8];
  for (int lane = 0; lane < 8; ++lane) {
    for (int word = 0; word < 4; ++word) __builtin_memcpy(&words[word][lane], encodings + 32 * lane + 8 * word, 8);
  }
  const __m512i sign = _mm512_maskz_mov_epi64(OddLanes(Canonical(Multiply(p.x, inverse))), All(INT64_MIN));
  return _mm512_cmpeq_epi64_mask(got.w0, _mm512_load_si512(words[0])) &
         _mm512_cmpeq_epi64_mask(got.w1, _mm512_load_si512(words[1])) &
         _mm512_cmpeq_epi64_mask(got.w2, _mm512_load_si512(words[2])) &
         _mm512_cmpeq_epi64_mask(_mm512_or_si512(got.w3, sign), _mm512_load_si512(words[3]));
}

}  // namespace

unsigned VerifyEight(const EdwardsLanes& lanes) {
  Point8 negated;
  const __mmask8 are_points = NegatedPoints(lanes.keys, &negated);
  Multiples8 multiples;
  MakeMultiples(negated, &multiples);
  // Both products in one go of doublings (Straus): per digit four, and an addition each.
  Point8 sum{SmallConstant(0), SmallConstant(1), SmallConstant(1), SmallConstant(0)};
  for (int i = kScalarDigits - 1; i >= 0; --i) {
    if (i < kScalarDigits - 1) sum = TimesSixteen(sum);
    sum = AddMultiple(sum, multiples, DigitsOf(lanes.k[i]));
    sum = AddBaseMultiple(sum, DigitsOf(lanes.s[i]));
  }
  return are_points & HaveEncoding(sum, lanes.r);
}

}  // namespace fleetune::ifma512

#else  // nobody calls it: IsSupported says no

#include "base/check.h"

namespace fleetune::ifma512 {

unsigned VerifyEight(const EdwardsLanes&) { CHECK(false); }

}  // namespace fleetune::ifma512

#endif
