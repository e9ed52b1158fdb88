// A line of 64 bytes is two registers: rows 0 to 7, then 8 to 15, each lane of 32 bits a row. Products of a code and a
// value are added in pairs and then, as far as 16 bits hold them, across groups before they become 32 bits.

#include "inference/kernels/panel_kernels.h"
#include "inference/kernels/panel_layout.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace fleetune {
namespace {

constexpr size_t kHalfLine = kPanelLine / 2;
constexpr size_t kHalfRows = kPanelRows / 2;

__m256i LoadLine(const uint8_t* at) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)); }
__m256 LoadHalves(const uint8_t* at) { return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))); }
__m256 BytesToFloats(const uint8_t* at) {
  return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at))));
}
__m256i SignedBytes(const uint8_t* at) {
  return _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(at)));
}

#define FLEETUNE_INLINE [[gnu::always_inline]] inline

FLEETUNE_INLINE __m256i FourBitGroup(const uint8_t* codes, size_t g) {
  const __m256i both = LoadLine(codes + g % 4 * kPanelLine);
  return _mm256_and_si256(g < 4 ? both : _mm256_srli_epi16(both, 4), _mm256_set1_epi8(15));
}
// `bits` shifted to the left by `left`, or to the right if that is below zero.
FLEETUNE_INLINE __m256i Moved(__m256i bits, int left) {
  return left >= 0 ? _mm256_slli_epi16(bits, left) : _mm256_srli_epi16(bits, -left);
}

// What a block of each type brings: the codes of a group, and how many groups' products fit 16 bits:
// 2 * 127 * largest code * together < 2^15.
struct FourBits {
  static constexpr size_t kGroups = 8;
  static constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ4_0);
  static constexpr size_t kGroupsTogether = 8;
  static constexpr int kOffsetShift = 3;
  FLEETUNE_INLINE static __m256i Group(const uint8_t* codes, size_t g) { return FourBitGroup(codes, g); }
};
struct FiveBits {
  static constexpr size_t kGroups = 8;
  static constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ5_0);
  static constexpr size_t kGroupsTogether = 4;
  static constexpr int kOffsetShift = 4;
  FLEETUNE_INLINE static __m256i Group(const uint8_t* codes, size_t g) {
    const __m256i fifth = Moved(LoadLine(codes + 4 * kPanelLine), 4 - static_cast<int>(g));
    return _mm256_or_si256(FourBitGroup(codes, g), _mm256_and_si256(fifth, _mm256_set1_epi8(16)));
  }
};
struct SixBits {
  static constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ6_K);
  static constexpr size_t kGroupsTogether = 2;
  FLEETUNE_INLINE static __m256i Group(const uint8_t* codes, size_t g) {
    const __m256i two = Moved(LoadLine(codes + (4 + g / 4) * kPanelLine), 4 - 2 * static_cast<int>(g % 4));
    return _mm256_or_si256(FourBitGroup(codes, g), _mm256_and_si256(two, _mm256_set1_epi8(0x30)));
  }
};
// Eight bits do not fit beside a signed value: the line holds code - 128, of which the magnitude is multiplied with the
// value that has taken its sign. 2 * 128 * 127 < 2^15.
template <bool half_blocks>
struct EightBits {
  static constexpr size_t kGroups = half_blocks ? 4 : 8;
  static constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ8_0, half_blocks);
  static constexpr size_t kGroupsTogether = 1;
  static constexpr int kOffsetShift = -1;  // none is left to take off
  FLEETUNE_INLINE static __m256i Group(const uint8_t* codes, size_t g) {
    return _mm256_xor_si256(LoadLine(codes + g * kPanelLine), _mm256_set1_epi8(-128));
  }
};

template <typename Bits>
FLEETUNE_INLINE __m256i Products(__m256i line, __m256i x) {
  if constexpr (Bits::kGroupsTogether > 1) return _mm256_maddubs_epi16(line, x);
  return _mm256_maddubs_epi16(_mm256_abs_epi8(line), _mm256_sign_epi8(x, line));
}

FLEETUNE_INLINE __m256i FourValues(const int8_t* x) {
  int32_t four;
  __builtin_memcpy(&four, x, sizeof(four));
  return _mm256_set1_epi32(four);
}

// sums[vector][half of the rows] += products of groups `begin` to `end` of a block with `count` neighbouring vectors at `x`.
// A value that is loaded is multiplied with both halves.
template <typename Bits, size_t begin, size_t end, size_t count>
FLEETUNE_INLINE void AddGroups(const uint8_t* codes, const int8_t* x, __m256i (&sums)[count][2]) {
  constexpr size_t together = Bits::kGroupsTogether;
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i parts[count][2];
#pragma GCC unroll 8
  for (size_t g = begin; g < end; ++g) {
    const __m256i lines[2] = {Bits::Group(codes, g), Bits::Group(codes + kHalfLine, g)};
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      const __m256i four = FourValues(x + t * kPanelBlock + 4 * g);
#pragma GCC unroll 2
      for (size_t half = 0; half < 2; ++half) {
        const __m256i products = Products<Bits>(lines[half], four);
        __m256i& part = parts[t][half];
        part = g % together == 0 ? products : _mm256_add_epi16(part, products);
        if (g % together == together - 1) sums[t][half] = _mm256_add_epi32(sums[t][half], _mm256_madd_epi16(part, ones));
      }
    }
  }
}

// `count` vectors of a tile from `first` on.
struct Part {
  size_t first;
  float* y;
  size_t stride;
};

template <size_t count>
struct Sums {
  __m256 of[count][2];
  explicit Sums(const Part& part) {
    for (size_t t = 0; t < count; ++t) {
      for (size_t half = 0; half < 2; ++half) of[t][half] = _mm256_loadu_ps(At(part, t, half));
    }
  }
  void Store(const Part& part) const {
    for (size_t t = 0; t < count; ++t) {
      for (size_t half = 0; half < 2; ++half) _mm256_storeu_ps(At(part, t, half), of[t][half]);
    }
  }
  static float* At(const Part& part, size_t t, size_t half) {
    return part.y + (part.first + t) * part.stride + half * kHalfRows;
  }
};

template <typename Bits, size_t count>
void MultiplyPlain(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  Sums<count> sums(part);
  for (size_t b = 0; b < panel.blocks; ++b) {
    const PanelBlock<const uint8_t> block = BlockOf(Bits::kLayout, panel.data, b);
    if constexpr (count >= 4) FetchAhead(block.codes, Bits::kLayout.codes + Bits::kLayout.scales);
    const size_t at = b * tile.vectors + part.first;
    __m256i whole[count][2];
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      __m256i start = _mm256_setzero_si256();
      if constexpr (Bits::kOffsetShift >= 0) {
        start = _mm256_slli_epi32(_mm256_set1_epi32(tile.minus[at + t]), Bits::kOffsetShift);
      }
      whole[t][0] = whole[t][1] = start;
    }
    AddGroups<Bits, 0, Bits::kGroups>(block.codes, tile.values + at * kPanelBlock, whole);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const __m256 scale = LoadHalves(block.scales + half * 16);
#pragma GCC unroll 4
      for (size_t t = 0; t < count; ++t) {
        const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(tile.scales[at + t]));
        sums.of[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[t][half]), factor, sums.of[t][half]);
      }
    }
  }
  sums.Store(part);
}

template <size_t count>
void MultiplyQ4_K(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ4_K);
  Sums<count> sums(part);
  for (size_t b = 0; b < panel.blocks; ++b) {
    const PanelBlock<const uint8_t> block = BlockOf(kLayout, panel.data, b);
    if constexpr (count >= 4) FetchAhead(block.codes, kLayout.codes + kLayout.scales);
    const size_t at = b * tile.vectors + part.first;
    __m256i whole[count][2] = {};
    AddGroups<FourBits, 0, 8>(block.codes, tile.values + at * kPanelBlock, whole);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const uint8_t* scales = block.scales + half * 8;
      const uint8_t* super = block.super + half * 16;
      const __m256 scale = _mm256_mul_ps(LoadHalves(super), BytesToFloats(scales));
      const __m256 min = _mm256_mul_ps(LoadHalves(super + 32), BytesToFloats(scales + 16));
#pragma GCC unroll 4
      for (size_t t = 0; t < count; ++t) {
        const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(tile.scales[at + t]));
        const __m256 below = _mm256_set1_ps(tile.scales[at + t] * static_cast<float>(tile.minus[at + t]));
        sums.of[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(whole[t][half]), factor, sums.of[t][half]);
        sums.of[t][half] = _mm256_fmadd_ps(min, below, sums.of[t][half]);
      }
    }
  }
  sums.Store(part);
}

template <size_t count>
void MultiplyQ6_K(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  Sums<count> sums(part);
  for (size_t b = 0; b < panel.blocks; ++b) {
    const PanelBlock<const uint8_t> block = BlockOf(SixBits::kLayout, panel.data, b);
    if constexpr (count >= 4) FetchAhead(block.codes, SixBits::kLayout.codes + SixBits::kLayout.scales);
    const size_t at = b * tile.vectors + part.first;
    __m256i first[count][2], second[count][2];
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      first[t][0] = first[t][1] = _mm256_slli_epi32(_mm256_set1_epi32(tile.first[at + t]), 5);
      second[t][0] = second[t][1] = _mm256_slli_epi32(_mm256_set1_epi32(tile.second[at + t]), 5);
    }
    AddGroups<SixBits, 0, 4>(block.codes, tile.values + at * kPanelBlock, first);
    AddGroups<SixBits, 4, 8>(block.codes, tile.values + at * kPanelBlock, second);
#pragma GCC unroll 2
    for (size_t half = 0; half < 2; ++half) {
      const uint8_t* scales = block.scales + half * 8;
      const __m256i first_scale = SignedBytes(scales);
      const __m256i second_scale = SignedBytes(scales + 16);
      const __m256 scale = LoadHalves(block.super + half * 16);
#pragma GCC unroll 4
      for (size_t t = 0; t < count; ++t) {
        const __m256i sum = _mm256_add_epi32(_mm256_mullo_epi32(first[t][half], first_scale),
                                             _mm256_mullo_epi32(second[t][half], second_scale));
        const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(tile.scales[at + t]));
        sums.of[t][half] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), factor, sums.of[t][half]);
      }
    }
  }
  sums.Store(part);
}

// How many vectors' sums fit into registers; where these must be emptied before a block's end, there are twice as many.
constexpr size_t VectorsTogether(TensorType type) {
  return type == TensorType::kQ5_0 || type == TensorType::kQ6_K ? 2 : 4;
}

template <size_t count>
void MultiplyPart(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  switch (panel.type) {
    case TensorType::kQ8_0:
      return panel.half_blocks ? MultiplyPlain<EightBits<true>, count>(panel, tile, part)
                               : MultiplyPlain<EightBits<false>, count>(panel, tile, part);
    case TensorType::kQ4_0: return MultiplyPlain<FourBits, count>(panel, tile, part);
    case TensorType::kQ5_0: return MultiplyPlain<FiveBits, count>(panel, tile, part);
    case TensorType::kQ4_K: return MultiplyQ4_K<count>(panel, tile, part);
    case TensorType::kQ6_K: return MultiplyQ6_K<count>(panel, tile, part);
    default: return;
  }
}

void MultiplyPanel(const QuantizedPanel& panel, const QuantizedTile& tile, float* y, size_t stride) {
  const size_t most = VectorsTogether(panel.type);
  const size_t together = tile.vectors < most ? tile.vectors : most;
  for (size_t first = 0; first < tile.vectors; first += together) {
    const Part part = {.first = first, .y = y, .stride = stride};
    switch (together) {
      case 1: MultiplyPart<1>(panel, tile, part); break;
      case 2: MultiplyPart<2>(panel, tile, part); break;
      default: MultiplyPart<4>(panel, tile, part);
    }
  }
}

void Quantized(const QuantizedPanels& panels, const QuantizedTile& tile, float* y, size_t stride) {
  EachPanel(panels, y, [&](const QuantizedPanel& panel, float* rows) { MultiplyPanel(panel, tile, rows, stride); });
}

template <TensorType type>
__m256 LoadColumn(const uint8_t* values, size_t index) {
  if constexpr (type == TensorType::kF32) return _mm256_loadu_ps(reinterpret_cast<const float*>(values) + index);
  if constexpr (type == TensorType::kF16) return LoadHalves(values + 2 * index);
  const __m128i upper = _mm_loadu_si128(reinterpret_cast<const __m128i*>(values + 2 * index));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(upper), 16));
}

template <TensorType type, size_t count>
void MultiplyColumns(const FloatPanel& panel, const FloatTile& tile, const Part& part) {
  Sums<count> sums(part);
  for (size_t c = 0; c < panel.columns; ++c) {
    const __m256 w[2] = {LoadColumn<type>(panel.values, c * kPanelRows),
                         LoadColumn<type>(panel.values, c * kPanelRows + kHalfRows)};
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      const __m256 x = _mm256_set1_ps(tile.values[c * tile.vectors + part.first + t]);
      for (size_t half = 0; half < 2; ++half) sums.of[t][half] = _mm256_fmadd_ps(w[half], x, sums.of[t][half]);
    }
  }
  sums.Store(part);
}

template <size_t count>
void MultiplyFloatPart(const FloatPanel& panel, const FloatTile& tile, const Part& part) {
  switch (panel.type) {
    case TensorType::kF32: return MultiplyColumns<TensorType::kF32, count>(panel, tile, part);
    case TensorType::kF16: return MultiplyColumns<TensorType::kF16, count>(panel, tile, part);
    case TensorType::kBF16: return MultiplyColumns<TensorType::kBF16, count>(panel, tile, part);
    default: return;
  }
}

void Floats(const FloatPanel& panel, const FloatTile& tile, float* y, size_t stride) {
  const size_t together = tile.vectors < 4 ? tile.vectors : 4;
  for (size_t first = 0; first < tile.vectors; first += together) {
    const Part part = {.first = first, .y = y, .stride = stride};
    switch (together) {
      case 1: MultiplyFloatPart<1>(panel, tile, part); break;
      case 2: MultiplyFloatPart<2>(panel, tile, part); break;
      default: MultiplyFloatPart<4>(panel, tile, part);
    }
  }
}

int32_t SumOfLanes(__m256i lanes) {
  alignas(32) int32_t each[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(each), lanes);
  int32_t sum = 0;
  for (const int32_t lane : each) sum += lane;
  return sum;
}

void QuantizeBlock(const float* x, const QuantizedBlock& block) {
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i bits = _mm256_setzero_si256();
  for (size_t i = 0; i < 4; ++i) {
    bits = _mm256_max_epi32(bits, _mm256_and_si256(_mm256_castps_si256(_mm256_loadu_ps(x + 8 * i)), magnitude));
  }
  alignas(32) int32_t each[8];
  _mm256_store_si256(reinterpret_cast<__m256i*>(each), bits);
  int32_t largest = 0;
  for (const int32_t lane : each) largest = lane > largest ? lane : largest;
  float amplitude;
  __builtin_memcpy(&amplitude, &largest, sizeof(amplitude));
  float inverse = 127 / amplitude;
  *block.scale = amplitude / 127;
  if (largest >= 0x7F800000 || amplitude < kLeastMagnitude) {
    *block.scale = largest >= 0x7F800000 ? __builtin_nanf("") : 0;
    inverse = 0;
  }
  const __m256i wanted = _mm256_set1_epi32(inverse == 0 ? 0 : -1);  // infinity times 0 is no number
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  for (size_t i = 0; i < 4; ++i) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x + 8 * i), _mm256_set1_ps(inverse));
    const __m256i q = _mm256_and_si256(_mm256_cvtps_epi32(scaled), wanted);
    sums[i / 2] = _mm256_add_epi32(sums[i / 2], q);
    const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(q), _mm256_extracti128_si256(q, 1));
    _mm_storel_epi64(reinterpret_cast<__m128i*>(block.values + 8 * i), _mm_packs_epi16(words, words));
  }
  *block.first = -SumOfLanes(sums[0]);
  *block.second = -SumOfLanes(sums[1]);
  *block.minus = *block.first + *block.second;
}

// Four-bit codes, of which eight groups fit 16 bits: the best case.
uint64_t Spin(uint64_t rounds) {
  __m256i lines[8];
  for (__m256i& line : lines) line = _mm256_set1_epi8(3);
  __m256i sums[2] = {_mm256_setzero_si256(), _mm256_setzero_si256()};
  __m256i values = _mm256_set1_epi8(-5);
  const __m256i ones = _mm256_set1_epi16(1);
  for (uint64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 2
    for (__m256i& sum : sums) {
      asm volatile("" : "+x"(values));
      __m256i part = _mm256_maddubs_epi16(lines[0], values);
#pragma GCC unroll 8
      for (size_t g = 1; g < 8; ++g) part = _mm256_add_epi16(part, _mm256_maddubs_epi16(lines[g], values));
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part, ones));
      asm volatile("" : "+x"(lines[0]), "+x"(lines[1]), "+x"(lines[2]), "+x"(lines[3]));
    }
  }
  for (__m256i& sum : sums) asm volatile("" : : "x"(sum));
  return rounds * 2 * 8 * 32;
}

}  // namespace

const PanelKernels kAvx2PanelKernels = {.quantized = Quantized, .floats = Floats, .quantize = QuantizeBlock, .spin = Spin};

}  // namespace fleetune
#endif
