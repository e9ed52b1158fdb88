// A line of 64 bytes is one register, a row one of its 16 lanes of 32 bits.

#include "inference/kernels/panel_kernels.h"
#include "inference/kernels/panel_layout.h"

#if defined(__x86_64__)
#include <immintrin.h>

namespace fleetune {
namespace {

using Lines = __m512i[8];  // the codes of a block: line g is group g

__m512i LoadLine(const uint8_t* at) { return _mm512_loadu_si512(at); }
__m512 LoadHalves(const uint8_t* at) {
  return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at)));
}
__m512 BytesToFloats(const uint8_t* at) {
  return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
}
__m512i SignedBytes(const uint8_t* at) {
  return _mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
}

void LoadFourBits(const uint8_t* codes, Lines& lines) {
  const __m512i mask = _mm512_set1_epi8(15);
  for (size_t g = 0; g < 4; ++g) {
    const __m512i both = LoadLine(codes + g * kPanelLine);
    lines[g] = _mm512_and_si512(both, mask);
    lines[g + 4] = _mm512_and_si512(_mm512_srli_epi16(both, 4), mask);
  }
}

// What a block of each type brings: its codes, and how the sum of a vector becomes a float.
template <bool half_blocks>
struct EightBits {
  static constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ8_0, half_blocks);
  static constexpr size_t kGroups = half_blocks ? 4 : 8;
  static constexpr int kOffsetShift = 7;
  static void Load(const uint8_t* codes, Lines& lines) {
    for (size_t g = 0; g < kGroups; ++g) lines[g] = LoadLine(codes + g * kPanelLine);
  }
};
struct FourBits {
  static constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ4_0);
  static constexpr size_t kGroups = 8;
  static constexpr int kOffsetShift = 3;
  static void Load(const uint8_t* codes, Lines& lines) { LoadFourBits(codes, lines); }
};
struct FiveBits {
  static constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ5_0);
  static constexpr size_t kGroups = 8;
  static constexpr int kOffsetShift = 4;
  static void Load(const uint8_t* codes, Lines& lines) {
    LoadFourBits(codes, lines);
    const __m512i fifth = LoadLine(codes + 4 * kPanelLine);
    const __m512i bit = _mm512_set1_epi8(16);
    for (unsigned g = 0; g < 8; ++g) {
      const __m512i moved = g < 4 ? _mm512_slli_epi16(fifth, 4 - g) : _mm512_srli_epi16(fifth, g - 4);
      lines[g] = _mm512_or_si512(lines[g], _mm512_and_si512(moved, bit));
    }
  }
};
void LoadSixBits(const uint8_t* codes, Lines& lines) {
  LoadFourBits(codes, lines);
  const __m512i bits = _mm512_set1_epi8(0x30);
  for (unsigned half = 0; half < 2; ++half) {
    const __m512i two = LoadLine(codes + (4 + half) * kPanelLine);
    for (unsigned i = 0; i < 4; ++i) {
      const __m512i moved = i < 2 ? _mm512_slli_epi16(two, 4 - 2 * i) : _mm512_srli_epi16(two, 2 * i - 4);
      lines[4 * half + i] = _mm512_or_si512(lines[4 * half + i], _mm512_and_si512(moved, bits));
    }
  }
}

// sums of neighbouring vectors + products of groups `begin` to `end` with their values at `x`. A sum waits for its last
// product, so several are made beside one another.
constexpr size_t kTogether = 4;

template <size_t begin, size_t end, size_t count>
[[gnu::always_inline]] inline void AddGroups(__m512i (&sums)[count], const Lines& lines, const int8_t* x) {
#pragma GCC unroll 8
  for (size_t g = begin; g < end; ++g) {
#pragma GCC unroll 4
    for (size_t i = 0; i < count; ++i) {
      int32_t four;
      __builtin_memcpy(&four, x + i * kPanelBlock + 4 * g, sizeof(four));
      sums[i] = _mm512_dpbusd_epi32(sums[i], lines[g], _mm512_set1_epi32(four));
    }
  }
}

template <size_t vectors>
struct Sums {
  __m512 of[vectors];
  Sums(const float* y, size_t stride) {
    for (size_t t = 0; t < vectors; ++t) of[t] = _mm512_loadu_ps(y + t * stride);
  }
  void Store(float* y, size_t stride) const {
    for (size_t t = 0; t < vectors; ++t) _mm512_storeu_ps(y + t * stride, of[t]);
  }
};

template <typename Bits, size_t vectors>
void MultiplyPlain(const QuantizedPanel& panel, const QuantizedTile& tile, float* y, size_t stride) {
  constexpr size_t together = vectors < kTogether ? vectors : kTogether;
  const int32_t* minus = Bits::kGroups == 4 ? tile.first : tile.minus;
  Sums<vectors> sums(y, stride);
  for (size_t b = 0; b < panel.blocks; ++b) {
    const PanelBlock<const uint8_t> block = BlockOf(Bits::kLayout, panel.data, b);
    if constexpr (vectors >= 8) FetchAhead(block.codes, Bits::kLayout.codes + Bits::kLayout.scales);
    Lines lines;
    Bits::Load(block.codes, lines);
    const __m512 scale = LoadHalves(block.scales);
#pragma GCC unroll 16
    for (size_t t = 0; t < vectors; t += together) {
      const size_t at = b * vectors + t;
      __m512i sum[together];
      for (size_t i = 0; i < together; ++i) {
        sum[i] = _mm512_slli_epi32(_mm512_set1_epi32(minus[at + i]), Bits::kOffsetShift);
      }
      AddGroups<0, Bits::kGroups>(sum, lines, tile.values + at * kPanelBlock);
      for (size_t i = 0; i < together; ++i) {
        const __m512 factor = _mm512_mul_ps(scale, _mm512_set1_ps(tile.scales[at + i]));
        sums.of[t + i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i]), factor, sums.of[t + i]);
      }
    }
  }
  sums.Store(y, stride);
}

template <size_t vectors>
void MultiplyQ4_K(const QuantizedPanel& panel, const QuantizedTile& tile, float* y, size_t stride) {
  constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ4_K);
  constexpr size_t together = vectors < kTogether ? vectors : kTogether;
  Sums<vectors> sums(y, stride);
  for (size_t b = 0; b < panel.blocks; ++b) {
    const PanelBlock<const uint8_t> block = BlockOf(kLayout, panel.data, b);
    if constexpr (vectors >= 8) FetchAhead(block.codes, kLayout.codes + kLayout.scales);
    Lines lines;
    LoadFourBits(block.codes, lines);
    const __m512 scale = _mm512_mul_ps(LoadHalves(block.super), BytesToFloats(block.scales));
    const __m512 min = _mm512_mul_ps(LoadHalves(block.super + 32), BytesToFloats(block.scales + 16));
#pragma GCC unroll 16
    for (size_t t = 0; t < vectors; t += together) {
      const size_t at = b * vectors + t;
      __m512i sum[together] = {};
      AddGroups<0, 8>(sum, lines, tile.values + at * kPanelBlock);
      for (size_t i = 0; i < together; ++i) {
        const __m512 factor = _mm512_mul_ps(scale, _mm512_set1_ps(tile.scales[at + i]));
        const __m512 below = _mm512_set1_ps(tile.scales[at + i] * static_cast<float>(tile.minus[at + i]));
        sums.of[t + i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[i]), factor, sums.of[t + i]);
        sums.of[t + i] = _mm512_fmadd_ps(min, below, sums.of[t + i]);
      }
    }
  }
  sums.Store(y, stride);
}

template <size_t vectors>
void MultiplyQ6_K(const QuantizedPanel& panel, const QuantizedTile& tile, float* y, size_t stride) {
  constexpr PanelLayout kLayout = PanelLayoutOf(TensorType::kQ6_K);
  constexpr size_t together = vectors < kTogether ? vectors : kTogether;
  Sums<vectors> sums(y, stride);
  for (size_t b = 0; b < panel.blocks; ++b) {
    const PanelBlock<const uint8_t> block = BlockOf(kLayout, panel.data, b);
    if constexpr (vectors >= 8) FetchAhead(block.codes, kLayout.codes + kLayout.scales);
    Lines lines;
    LoadSixBits(block.codes, lines);
    const __m512i first_scale = SignedBytes(block.scales);
    const __m512i second_scale = SignedBytes(block.scales + 16);
    const __m512 scale = LoadHalves(block.super);
#pragma GCC unroll 16
    for (size_t t = 0; t < vectors; t += together) {
      const size_t at = b * vectors + t;
      const int8_t* x = tile.values + at * kPanelBlock;
      __m512i first[together], second[together];
      for (size_t i = 0; i < together; ++i) {
        first[i] = _mm512_slli_epi32(_mm512_set1_epi32(tile.first[at + i]), 5);
        second[i] = _mm512_slli_epi32(_mm512_set1_epi32(tile.second[at + i]), 5);
      }
      AddGroups<0, 4>(first, lines, x);
      AddGroups<4, 8>(second, lines, x);
      for (size_t i = 0; i < together; ++i) {
        const __m512i sum =
            _mm512_add_epi32(_mm512_mullo_epi32(first[i], first_scale), _mm512_mullo_epi32(second[i], second_scale));
        const __m512 factor = _mm512_mul_ps(scale, _mm512_set1_ps(tile.scales[at + i]));
        sums.of[t + i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), factor, sums.of[t + i]);
      }
    }
  }
  sums.Store(y, stride);
}

template <auto multiply>
void MultiplyEach(const QuantizedPanels& panels, const QuantizedTile& tile, float* y, size_t stride) {
  EachPanel(panels, y, [&](const QuantizedPanel& panel, float* rows) { multiply(panel, tile, rows, stride); });
}

template <size_t vectors>
void MultiplyTile(const QuantizedPanels& panels, const QuantizedTile& tile, float* y, size_t stride) {
  switch (panels.first.type) {
    case TensorType::kQ8_0:
      return panels.first.half_blocks ? MultiplyEach<MultiplyPlain<EightBits<true>, vectors>>(panels, tile, y, stride)
                                      : MultiplyEach<MultiplyPlain<EightBits<false>, vectors>>(panels, tile, y, stride);
    case TensorType::kQ4_0: return MultiplyEach<MultiplyPlain<FourBits, vectors>>(panels, tile, y, stride);
    case TensorType::kQ5_0: return MultiplyEach<MultiplyPlain<FiveBits, vectors>>(panels, tile, y, stride);
    case TensorType::kQ4_K: return MultiplyEach<MultiplyQ4_K<vectors>>(panels, tile, y, stride);
    case TensorType::kQ6_K: return MultiplyEach<MultiplyQ6_K<vectors>>(panels, tile, y, stride);
    default: return;
  }
}

void Quantized(const QuantizedPanels& panels, const QuantizedTile& tile, float* y, size_t stride) {
  switch (tile.vectors) {
    case 1: return MultiplyTile<1>(panels, tile, y, stride);
    case 2: return MultiplyTile<2>(panels, tile, y, stride);
    case 4: return MultiplyTile<4>(panels, tile, y, stride);
    case 8: return MultiplyTile<8>(panels, tile, y, stride);
    case 16: return MultiplyTile<16>(panels, tile, y, stride);
    default: return;
  }
}

template <TensorType type>
__m512 LoadColumn(const uint8_t* values, size_t column) {
  if constexpr (type == TensorType::kF32) return _mm512_loadu_ps(reinterpret_cast<const float*>(values) + 16 * column);
  if constexpr (type == TensorType::kF16) return LoadHalves(values + 32 * column);
  const __m256i upper = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(values + 32 * column));
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(upper), 16));
}

template <TensorType type, size_t vectors>
void MultiplyColumns(const FloatPanel& panel, const FloatTile& tile, float* y, size_t stride) {
  Sums<vectors> sums(y, stride);
  for (size_t c = 0; c < panel.columns; ++c) {
    const __m512 w = LoadColumn<type>(panel.values, c);
#pragma GCC unroll 16
    for (size_t t = 0; t < vectors; ++t) {
      sums.of[t] = _mm512_fmadd_ps(w, _mm512_set1_ps(tile.values[c * vectors + t]), sums.of[t]);
    }
  }
  sums.Store(y, stride);
}

template <size_t vectors>
void MultiplyFloatTile(const FloatPanel& panel, const FloatTile& tile, float* y, size_t stride) {
  switch (panel.type) {
    case TensorType::kF32: return MultiplyColumns<TensorType::kF32, vectors>(panel, tile, y, stride);
    case TensorType::kF16: return MultiplyColumns<TensorType::kF16, vectors>(panel, tile, y, stride);
    case TensorType::kBF16: return MultiplyColumns<TensorType::kBF16, vectors>(panel, tile, y, stride);
    default: return;
  }
}

void Floats(const FloatPanel& panel, const FloatTile& tile, float* y, size_t stride) {
  switch (tile.vectors) {
    case 1: return MultiplyFloatTile<1>(panel, tile, y, stride);
    case 2: return MultiplyFloatTile<2>(panel, tile, y, stride);
    case 4: return MultiplyFloatTile<4>(panel, tile, y, stride);
    case 8: return MultiplyFloatTile<8>(panel, tile, y, stride);
    case 16: return MultiplyFloatTile<16>(panel, tile, y, stride);
    default: return;
  }
}

void QuantizeBlock(const float* x, const QuantizedBlock& block) {
  const __m512 low = _mm512_loadu_ps(x);
  const __m512 high = _mm512_loadu_ps(x + 16);
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  const __m512i bits = _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(low), magnitude),
                                        _mm512_and_si512(_mm512_castps_si512(high), magnitude));
  const int32_t largest = _mm512_reduce_max_epi32(bits);
  float amplitude;
  __builtin_memcpy(&amplitude, &largest, sizeof(amplitude));
  float inverse = 127 / amplitude;
  *block.scale = amplitude / 127;
  if (largest >= 0x7F800000 || amplitude < kLeastMagnitude) {
    *block.scale = largest >= 0x7F800000 ? __builtin_nanf("") : 0;
    inverse = 0;
  }
  const __mmask16 wanted = inverse == 0 ? 0 : 0xFFFF;  // infinity times 0 is no number
  const __m512i q_low = _mm512_maskz_cvtps_epi32(wanted, _mm512_mul_ps(low, _mm512_set1_ps(inverse)));
  const __m512i q_high = _mm512_maskz_cvtps_epi32(wanted, _mm512_mul_ps(high, _mm512_set1_ps(inverse)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(block.values), _mm512_cvtepi32_epi8(q_low));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(block.values + 16), _mm512_cvtepi32_epi8(q_high));
  *block.first = -_mm512_reduce_add_epi32(q_low);
  *block.second = -_mm512_reduce_add_epi32(q_high);
  *block.minus = *block.first + *block.second;
}

uint64_t Spin(uint64_t rounds) {
  __m512i sums[16];
  for (__m512i& sum : sums) sum = _mm512_setzero_si512();
  __m512i codes = _mm512_set1_epi8(3);
  __m512i values = _mm512_set1_epi8(-5);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+v"(codes), "+v"(values));
#pragma GCC unroll 16
    for (__m512i& sum : sums) sum = _mm512_dpbusd_epi32(sum, codes, values);
  }
  for (__m512i& sum : sums) asm volatile("" : : "v"(sum));
  return rounds * 16 * 64;
}

}  // namespace

const PanelKernels kAvx512PanelKernels = {.quantized = Quantized, .floats = Floats, .quantize = QuantizeBlock, .spin = Spin};

}  // namespace fleetune
#endif
