// A line of 64 bytes is two registers: rows 0 to 7, then 8 to 15, each lane of 32 bits a row. Products of a code and a
// value are added in pairs and then, as far as 16 bits hold them, across groups before they become 32 bits.

#include "inference/kernels/panel_kernels.h"
#include "inference/kernels/panel_layout.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace fleetune {
namespace {

using Lines = __m256i[8];  // of 8 rows: line g is group g

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

void LoadFourBits(const uint8_t* codes, Lines& lines) {
  const __m256i mask = _mm256_set1_epi8(15);
  for (size_t g = 0; g < 4; ++g) {
    const __m256i both = LoadLine(codes + g * kPanelLine);
    lines[g] = _mm256_and_si256(both, mask);
    lines[g + 4] = _mm256_and_si256(_mm256_srli_epi16(both, 4), mask);
  }
}

__m256i FourValues(const int8_t* x) {
  int32_t four;
  __builtin_memcpy(&four, x, sizeof(four));
  return _mm256_set1_epi32(four);
}

// Products of groups `begin` to `end`, of which `together` fit 16 bits: 2 * 127 * largest code * together < 2^15.
template <size_t begin, size_t end, size_t together>
__m256i SumOfGroups(const Lines& lines, const int8_t* x) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sum = _mm256_setzero_si256();
  for (size_t g = begin; g < end; g += together) {
    __m256i part = _mm256_maddubs_epi16(lines[g], FourValues(x + 4 * g));
    for (size_t i = g + 1; i < g + together; ++i) {
      part = _mm256_add_epi16(part, _mm256_maddubs_epi16(lines[i], FourValues(x + 4 * i)));
    }
    sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part, ones));
  }
  return sum;
}

struct FourBits {
  static constexpr size_t kCodes = PanelLayoutOf(TensorType::kQ4_0).codes;
  static constexpr int kOffsetShift = 3;
  static void Load(const uint8_t* codes, Lines& lines) { LoadFourBits(codes, lines); }
  static __m256i Sum(const Lines& lines, const int8_t* x) { return SumOfGroups<0, 8, 8>(lines, x); }
};
struct FiveBits {
  static constexpr size_t kCodes = PanelLayoutOf(TensorType::kQ5_0).codes;
  static constexpr int kOffsetShift = 4;
  static void Load(const uint8_t* codes, Lines& lines) {
    LoadFourBits(codes, lines);
    const __m256i fifth = LoadLine(codes + 4 * kPanelLine);
    const __m256i bit = _mm256_set1_epi8(16);
    for (int g = 0; g < 8; ++g) {
      const __m256i moved = g < 4 ? _mm256_slli_epi16(fifth, 4 - g) : _mm256_srli_epi16(fifth, g - 4);
      lines[g] = _mm256_or_si256(lines[g], _mm256_and_si256(moved, bit));
    }
  }
  static __m256i Sum(const Lines& lines, const int8_t* x) { return SumOfGroups<0, 8, 4>(lines, x); }
};
// Eight bits do not fit beside a signed value: the lines hold code - 128, of which the magnitude is multiplied with the
// value that has taken its sign. 2 * 128 * 127 < 2^15.
struct EightBits {
  static constexpr size_t kCodes = PanelLayoutOf(TensorType::kQ8_0).codes;
  static void Load(const uint8_t* codes, Lines& lines) {
    const __m256i offset = _mm256_set1_epi8(-128);
    for (size_t g = 0; g < 8; ++g) lines[g] = _mm256_xor_si256(LoadLine(codes + g * kPanelLine), offset);
  }
  static __m256i Sum(const Lines& lines, const int8_t* x) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i sum = _mm256_setzero_si256();
    for (size_t g = 0; g < 8; ++g) {
      const __m256i signed_x = _mm256_sign_epi8(FourValues(x + 4 * g), lines[g]);
      const __m256i part = _mm256_maddubs_epi16(_mm256_abs_epi8(lines[g]), signed_x);
      sum = _mm256_add_epi32(sum, _mm256_madd_epi16(part, ones));
    }
    return sum;
  }
};
void LoadSixBits(const uint8_t* codes, Lines& lines) {
  LoadFourBits(codes, lines);
  const __m256i bits = _mm256_set1_epi8(0x30);
  for (int half = 0; half < 2; ++half) {
    const __m256i two = LoadLine(codes + (4 + half) * static_cast<int>(kPanelLine));
    for (int i = 0; i < 4; ++i) {
      const __m256i moved = i < 2 ? _mm256_slli_epi16(two, 4 - 2 * i) : _mm256_srli_epi16(two, 2 * i - 4);
      lines[4 * half + i] = _mm256_or_si256(lines[4 * half + i], _mm256_and_si256(moved, bits));
    }
  }
}

// Registers hold the codes of 8 rows and the sums of so many vectors.
constexpr size_t kTogether = 4;

// `count` vectors of a tile from `first` on, and 8 of the 16 rows.
struct Part {
  size_t first;
  size_t half;
  float* y;
  size_t stride;
};

template <size_t count>
struct Sums {
  __m256 of[count];
  explicit Sums(const Part& part) {
    for (size_t t = 0; t < count; ++t) of[t] = _mm256_loadu_ps(part.y + (part.first + t) * part.stride + part.half * 8);
  }
  void Store(const Part& part) const {
    for (size_t t = 0; t < count; ++t) {
      _mm256_storeu_ps(part.y + (part.first + t) * part.stride + part.half * 8, of[t]);
    }
  }
};

template <typename Bits, size_t count>
void MultiplyPlain(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  Sums<count> sums(part);
  for (size_t b = 0; b < panel.blocks; ++b) {
    Lines lines;
    Bits::Load(panel.codes + b * Bits::kCodes + part.half * kHalfLine, lines);
    const __m256 scale = LoadHalves(panel.scales + b * 32 + part.half * 16);
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      const size_t at = b * tile.vectors + part.first + t;
      __m256i sum = Bits::Sum(lines, tile.values + at * kPanelBlock);
      if constexpr (requires { Bits::kOffsetShift; }) {
        sum = _mm256_add_epi32(sum, _mm256_slli_epi32(_mm256_set1_epi32(tile.minus[at]), Bits::kOffsetShift));
      }
      const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(tile.scales[at]));
      sums.of[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), factor, sums.of[t]);
    }
  }
  sums.Store(part);
}

template <size_t count>
void MultiplyQ4_K(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  Sums<count> sums(part);
  for (size_t b = 0; b < panel.blocks; ++b) {
    Lines lines;
    LoadFourBits(panel.codes + b * 4 * kPanelLine + part.half * kHalfLine, lines);
    const uint8_t* scales = panel.scales + b * 32 + part.half * 8;
    const uint8_t* super = panel.super + b / 8 * 64 + part.half * 16;
    const __m256 scale = _mm256_mul_ps(LoadHalves(super), BytesToFloats(scales));
    const __m256 min = _mm256_mul_ps(LoadHalves(super + 32), BytesToFloats(scales + 16));
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      const size_t at = b * tile.vectors + part.first + t;
      const __m256i sum = SumOfGroups<0, 8, 8>(lines, tile.values + at * kPanelBlock);
      const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(tile.scales[at]));
      const __m256 below = _mm256_set1_ps(tile.scales[at] * static_cast<float>(tile.minus[at]));
      sums.of[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), factor, sums.of[t]);
      sums.of[t] = _mm256_fmadd_ps(min, below, sums.of[t]);
    }
  }
  sums.Store(part);
}

template <size_t count>
void MultiplyQ6_K(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  Sums<count> sums(part);
  for (size_t b = 0; b < panel.blocks; ++b) {
    Lines lines;
    LoadSixBits(panel.codes + b * 6 * kPanelLine + part.half * kHalfLine, lines);
    const uint8_t* scales = panel.scales + b * 32 + part.half * 8;
    const __m256i first_scale = SignedBytes(scales);
    const __m256i second_scale = SignedBytes(scales + 16);
    const __m256 scale = LoadHalves(panel.super + b / 8 * 32 + part.half * 16);
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      const size_t at = b * tile.vectors + part.first + t;
      const int8_t* x = tile.values + at * kPanelBlock;
      const __m256i first = _mm256_add_epi32(SumOfGroups<0, 4, 2>(lines, x),
                                             _mm256_slli_epi32(_mm256_set1_epi32(tile.first[at]), 5));
      const __m256i second = _mm256_add_epi32(SumOfGroups<4, 8, 2>(lines, x),
                                              _mm256_slli_epi32(_mm256_set1_epi32(tile.second[at]), 5));
      const __m256i sum =
          _mm256_add_epi32(_mm256_mullo_epi32(first, first_scale), _mm256_mullo_epi32(second, second_scale));
      const __m256 factor = _mm256_mul_ps(scale, _mm256_set1_ps(tile.scales[at]));
      sums.of[t] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(sum), factor, sums.of[t]);
    }
  }
  sums.Store(part);
}

template <size_t count>
void MultiplyPart(const QuantizedPanel& panel, const QuantizedTile& tile, const Part& part) {
  switch (panel.type) {
    case TensorType::kQ8_0: return MultiplyPlain<EightBits, count>(panel, tile, part);
    case TensorType::kQ4_0: return MultiplyPlain<FourBits, count>(panel, tile, part);
    case TensorType::kQ5_0: return MultiplyPlain<FiveBits, count>(panel, tile, part);
    case TensorType::kQ4_K: return MultiplyQ4_K<count>(panel, tile, part);
    case TensorType::kQ6_K: return MultiplyQ6_K<count>(panel, tile, part);
    default: return;
  }
}

void Quantized(const QuantizedPanel& panel, const QuantizedTile& tile, float* y, size_t stride) {
  for (size_t half = 0; half < 2; ++half) {
    for (size_t first = 0; first < tile.vectors; first += kTogether) {
      const Part part = {.first = first, .half = half, .y = y, .stride = stride};
      switch (tile.vectors) {
        case 1: MultiplyPart<1>(panel, tile, part); break;
        case 2: MultiplyPart<2>(panel, tile, part); break;
        default: MultiplyPart<kTogether>(panel, tile, part);
      }
    }
  }
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
    const __m256 w = LoadColumn<type>(panel.values, c * kPanelRows + part.half * kHalfRows);
#pragma GCC unroll 4
    for (size_t t = 0; t < count; ++t) {
      const float x = tile.values[c * tile.vectors + part.first + t];
      sums.of[t] = _mm256_fmadd_ps(w, _mm256_set1_ps(x), sums.of[t]);
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
  for (size_t half = 0; half < 2; ++half) {
    for (size_t first = 0; first < tile.vectors; first += kTogether) {
      const Part part = {.first = first, .half = half, .y = y, .stride = stride};
      switch (tile.vectors) {
        case 1: MultiplyFloatPart<1>(panel, tile, part); break;
        case 2: MultiplyFloatPart<2>(panel, tile, part); break;
        default: MultiplyFloatPart<kTogether>(panel, tile, part);
      }
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
  Lines lines;
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
