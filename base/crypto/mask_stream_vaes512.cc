#include "base/crypto/mask_stream_vaes512.h"

#if defined(__x86_64__)

#include <immintrin.h>

namespace fleetune::vaes512 {
namespace {

constexpr int kRounds = 14;
// 32 blocks of 16 bytes: enough to hide the latency of an AES round. With their counters and the sum that is 24 of the 32
// registers, and what a compiler puts on the stack nobody wipes: so round keys are loaded anew each time, which costs
// nothing beside them.
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

struct Lanes16 {
  static __m512i Add(__m512i a, __m512i b) { return _mm512_add_epi16(a, b); }
  static __m512i Subtract(__m512i a, __m512i b) { return _mm512_sub_epi16(a, b); }
};
struct Lanes32 {
  static __m512i Add(__m512i a, __m512i b) { return _mm512_add_epi32(a, b); }
  static __m512i Subtract(__m512i a, __m512i b) { return _mm512_sub_epi32(a, b); }
};

// Round key `round`, once in each of the four lanes.
inline __m512i RoundKey(const RoundKeys& keys, int round) {
  // Masked though all is wanted: without a mask g++ 12 warns falsely (GCC bug 105593).
  return _mm512_maskz_broadcast_i32x4(0xffff, _mm_load_si128(reinterpret_cast<const __m128i*>(keys.bytes) + round));
}

// Four counter blocks, their last 8 bytes turned to little-endian.
inline __m512i FirstCounters(const uint8_t* first) {
  uint64_t fixed = 0;    // the first 8 bytes, as they stand
  uint64_t counted = 0;  // the last 8
  for (int i = 7; i >= 0; --i) fixed = fixed << 8 | first[i];
  for (int i = 8; i < 16; ++i) counted = counted << 8 | first[i];
  const auto high = static_cast<long long>(fixed);
  const auto low = static_cast<long long>(counted);
  return _mm512_add_epi64(_mm512_set_epi64(low, high, low, high, low, high, low, high),
                          _mm512_set_epi64(3, 0, 2, 0, 1, 0, 0, 0));
}

// The counter blocks of a step.
inline void NextCounters(__m512i& counters, __m512i (&block)[kVectors]) {
  const __m512i four = _mm512_set_epi64(4, 0, 4, 0, 4, 0, 4, 0);
  const __m512i to_big_endian =
      _mm512_maskz_broadcast_i32x4(0xffff, _mm_set_epi8(8, 9, 10, 11, 12, 13, 14, 15, 7, 6, 5, 4, 3, 2, 1, 0));
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) {
    block[i] = _mm512_shuffle_epi8(counters, to_big_endian);
    counters = _mm512_add_epi64(counters, four);
  }
}

inline void Encrypt(const RoundKeys& keys, const __m512i (&counters)[kVectors], __m512i (&block)[kVectors]) {
  const __m512i first_key = RoundKey(keys, 0);
#pragma GCC unroll 8
  for (int i = 0; i < kVectors; ++i) block[i] = _mm512_xor_si512(counters[i], first_key);
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

// The bytes of vector `i` of a step that `size` bytes reach.
inline __mmask64 Reached(int i, size_t size) {
  const size_t begin = i * kVectorBytes;
  const size_t left = size < begin ? 0 : size - begin;
  return left >= kVectorBytes ? ~__mmask64{0} : (__mmask64{1} << left) - 1;
}

// Vectors i and on of a step, as far as `size` bytes reach. No loop: g++ 12 would put the keystream on the stack for it.
template <int i = 0>
inline void WriteEnd(uint8_t* bytes, size_t size, const __m512i (&block)[kVectors]) {
  if constexpr (i < kVectors) {
    _mm512_mask_storeu_epi8(bytes + i * kVectorBytes, Reached(i, size), block[i]);
    WriteEnd<i + 1>(bytes, size, block);
  }
}

// The sum of the keystreams of a step, which stays in registers from the first key to the last.
template <typename Lanes>
inline void SumStep(const RoundKeys* const* keys, size_t count, __m512i& counters, __m512i (&sum)[kVectors]) {
  __m512i counter[kVectors];
  NextCounters(counters, counter);
  Encrypt(*keys[0], counter, sum);
  for (size_t k = 1; k < count; ++k) {
    __m512i block[kVectors];
    Encrypt(*keys[k], counter, block);
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) sum[i] = Lanes::Add(sum[i], block[i]);
  }
}

template <typename Lanes, __m512i (*kCombine)(__m512i, __m512i)>
inline void Apply(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size) {
  if (count == 0) return;
  __m512i counters = FirstCounters(first);
  __m512i sum[kVectors];
  for (size_t done = 0; done < size; done += kStepBytes) {
    SumStep<Lanes>(keys, count, counters, sum);
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) {
      uint8_t* const at = bytes + done + i * kVectorBytes;
      const __mmask64 reached = Reached(i, size - done);
      _mm512_mask_storeu_epi8(at, reached, kCombine(_mm512_maskz_loadu_epi8(reached, at), sum[i]));
    }
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
  __m512i counters = FirstCounters(first);
  __m512i counter[kVectors];
  __m512i block[kVectors];
  for (; size >= kStepBytes; size -= kStepBytes, bytes += kStepBytes) {
    NextCounters(counters, counter);
    Encrypt(keys, counter, block);
#pragma GCC unroll 8
    for (int i = 0; i < kVectors; ++i) _mm512_storeu_si512(bytes + i * kVectorBytes, block[i]);
  }
  if (size == 0) return;
  NextCounters(counters, counter);
  Encrypt(keys, counter, block);
  WriteEnd(bytes, size, block);
}

void Add16(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Lanes16, Lanes16::Add>(keys, count, first, bytes, size);
}
void Subtract16(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Lanes16, Lanes16::Subtract>(keys, count, first, bytes, size);
}
void Add32(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Lanes32, Lanes32::Add>(keys, count, first, bytes, size);
}
void Subtract32(const RoundKeys* const* keys, size_t count, const uint8_t* first, uint8_t* bytes, size_t size) {
  Apply<Lanes32, Lanes32::Subtract>(keys, count, first, bytes, size);
}

}  // namespace fleetune::vaes512

#else  // nobody calls these: IsSupported says no

#include "base/check.h"

namespace fleetune::vaes512 {

void ExpandKey(const uint8_t*, RoundKeys*) { CHECK(false); }
void Write(const RoundKeys&, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Add16(const RoundKeys* const*, size_t, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Subtract16(const RoundKeys* const*, size_t, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Add32(const RoundKeys* const*, size_t, const uint8_t*, uint8_t*, size_t) { CHECK(false); }
void Subtract32(const RoundKeys* const*, size_t, const uint8_t*, uint8_t*, size_t) { CHECK(false); }

}  // namespace fleetune::vaes512

#endif
