#include "base/crypto/mask_stream_vaes512.h"

#if defined(__x86_64__)

#include <immintrin.h>

namespace fleetune::vaes512 {
namespace {

constexpr int kRounds = 14;
// 32 blocks of 16 bytes: enough to hide the latency of an AES round. The round keys are loaded anew each
// time, which costs nothing beside them; all at once would not fit the 32 registers, and what a
// compiler puts on the stack nobody wipes.
constexpr int kVectors = 8;
constexpr size_t kVectorBytes = 64;
constexpr size_t kStepBytes = kVectors * kVectorBytes;

// One pair of round keys after another: `assist` holds the substituted word in the lane that counts.
inline __m128i NextRoundKey(__m128i key, __m128i assist) {
  key = _mm_xor_si128(key, _mm_slli_si128(key, 4));
  key = _mm_xor_si128(key, _mm_slli_si128(key, 8));
  return _mm_xor_si128(key, assist);
}

template <int kRoundConstant>
inline void NextPair(__m128i& even, __m128i& odd, __m128i* out) {
  even = NextRoundKey(even, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(odd, kRoundConstant), 0xff));
  _mm_store_si128(out, even);
  odd = NextRoundKey(odd, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(even, 0), 0xaa));
  _mm_store_si128(out + 1, odd);
}

struct WriteLanes {
  static __m512i Of(__m512i, __m512i keystream) { return keystream; }
};
struct Add16Lanes {
  static __m512i Of(__m512i tile, __m512i keystream) { return _mm512_add_epi16(tile, keystream); }
};
struct Subtract16Lanes {
  static __m512i Of(__m512i tile, __m512i keystream) { return _mm512_sub_epi16(tile, keystream); }
};
struct Add32Lanes {
  static __m512i Of(__m512i tile, __m512i keystream) { return _mm512_add_epi32(tile, keystream); }
};
struct Subtract32Lanes {
  static __m512i Of(__m512i tile, __m512i keystream) { return _mm512_sub_epi32(tile, keystream); }
};

// Round key `round`, once in each of the four lanes.
inline __m512i RoundKey(const RoundKeys& keys, int round) {
  // Masked though all is wanted: without a mask g++ 12 warns falsely (GCC bug 105593).
  return _mm512_maskz_broadcast_i32x4(0xffff, _mm_load_si128(reinterpret_cast<const __m128i*>(keys.bytes) + round));
}

// The next 32 blocks. `counter` has four counter blocks, their last 8 bytes turned to little-endian.
inline void NextStep(const RoundKeys& keys, __m512i& counter, __m512i (&block)[kVectors]) {
  const __m512i four = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
  const __m512i to_big_endian =
      _mm512_maskz_broadcast_i32x4(0xffff, _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 4, 3, 2, 1, 0));
  const __m512i first_key = RoundKey(keys, 0);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    block[i] = _mm512_xor_si512(_mm512_shuffle_epi8(counter, to_big_endian), first_key);
    counter = _mm512_add_epi64(counter, four);
  }
#pragma GCC unroll 14
  for (int round = 1; round < kRounds; ++round) {
    const __m512i key = RoundKey(keys, round);
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) block[i] = _mm512_aesenc_epi128(block[i], key);
  }
  const __m512i last_key = RoundKey(keys, kRounds);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) block[i] = _mm512_aesenclast_epi128(block[i], last_key);
}

template <typename Lanes>
inline void Apply(const RoundKeys& keys, const uint8_t* first, uint8_t* bytes, size_t size) {
  uint64_t fixed = 0;    // the first 8 bytes, as they stand
  uint64_t counted = 0;  // the last 8
  for (int i = 7; i >= 0; --i) fixed = fixed << 8 | first[i];
  for (int i = 8; i < 16; ++i) counted = counted << 8 | first[i];
  const auto high = static_cast<long long>(fixed);
  const auto low = static_cast<long long>(counted);
  __m512i counter = _mm512_add_epi64(_mm512_set_epi64(low, high, low, high, low, high, low, high),
                                     _mm512_set_epi64(3, 0, 2, 0, 1, 0, 0, 0));
  __m512i block[kVectors];
  for (; size >= kStepBytes; size -= kStepBytes, bytes += kStepBytes) {
    NextStep(keys, counter, block);
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      uint8_t* const at = bytes + i * kVectorBytes;
      _mm512_storeu_si512(at, Lanes::Of(_mm512_loadu_si512(at), block[i]));
    }
  }
  if (size == 0) return;
  NextStep(keys, counter, block);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    const size_t begin = i * kVectorBytes;
    if (size <= begin) break;
    const size_t left = size - begin;
    const __mmask64 valid = left >= kVectorBytes ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
    uint8_t* const at = bytes + begin;
    _mm512_mask_storeu_epi8(at, valid, Lanes::Of(_mm512_maskz_loadu_epi8(valid, at), block[i]));
  }
}

}  // namespace

void ExpandKey(const uint8_t* key, RoundKeys* keys) {
  auto* const out = reinterpret_cast<__m128i*>(keys->bytes);
  __m128i even = _mm_loadu_si128(reinterpret_cast<const __m128i*>(key));
  __m128i odd = _mm_loadu_si128(reinterpret_cast<const __m128i*>(key + 16));
  _mm_store_si128(out, even);
  _mm_store_si128(out + 1, odd);
  NextPair<0x01>(even, odd, out + 2);
  NextPair<0x02>(even, odd, out + 4);
  NextPair<0x04>(even, odd, out + 6);
  NextPair<0x08>(even, odd, out + 8);
  NextPair<0x10>(even, odd, out + 10);
  NextPair<0x20>(even, odd, out + 12);
  // The last pair has only its even key.
  even = NextRoundKey(even, _mm_shuffle_epi32(_mm_aeskeygenassist_si128(odd, 0x40), 0xff));
  _mm_store_si128(out + 14, even);
}

void Write(const RoundKeys& keys, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<WriteLanes>(keys, first, bytes, size);
}
void Add16(const RoundKeys& keys, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Add16Lanes>(keys, first, bytes, size);
}
void Subtract16(const RoundKeys& keys, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Subtract16Lanes>(keys, first, bytes, size);
}
void Add32(const RoundKeys& keys, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Add32Lanes>(keys, first, bytes, size);
}
void Subtract32(const RoundKeys& keys, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Subtract32Lanes>(keys, first, bytes, size);
}

}  // namespace fleetune::vaes512

#else  // nobody calls these: IsSupported says no

#include "base/check.h"

namespace fleetune::vaes512 {

void ExpandKey(const uint8_t*, RoundKeys*) { CHECK(false); }
void Write(const RoundKeys&, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Add16(const RoundKeys&, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Subtract16(const RoundKeys&, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Add32(const RoundKeys&, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Subtract32(const RoundKeys&, const uint8_t*, uint8_t*, size_t) { CHECK(false); }

}  // namespace fleetune::vaes512

#endif
