// A line of 64 bytes is four registers of four rows each. Codes lose their offset first, so products are signed by
// signed, as the dot product wants them.

#include "inference/kernels/panel_kernels.h"
#include "inference/kernels/panel_layout.h"

#if defined(__aarch64__)
#include <arm_neon.h>

namespace fleetune {
namespace {

using Lines = int8x16_t[8];  // of 4 rows: line g is group g

constexpr size_t kQuarterLine = kPanelLine / 4;
constexpr size_t kQuarterRows = kPanelRows / 4;

float32x4_t LoadHalves(const uint8_t* at) {
  return vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(at)));
}
// Four bytes, as they lie.
uint32x4_t FourUnsigned(const uint8_t* at) {
  uint32_t four;
  __builtin_memcpy(&four, at, sizeof(four));
  return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four))));
}
int32x4_t FourSigned(const uint8_t* at) {
  uint32_t four;
  __builtin_memcpy(&four, at, sizeof(four));
  return vmovl_s16(vget_low_s16(vmovl_s8(vcreate_s8(four))));
}

void LoadFourBits(const uint8_t* codes, uint8x16_t (&lines)[8]) {
  for (size_t g = 0; g < 4; ++g) {
    const uint8x16_t both = vld1q_u8(codes + g * kPanelLine);
    lines[g] = vandq_u8(both, vdupq_n_u8(15));
    lines[g + 4] = vshrq_n_u8(both, 4);
  }
}

void WithoutOffset(const uint8x16_t (&codes)[8], int8_t offset, Lines& lines) {
  for (size_t g = 0; g < 8; ++g) lines[g] = vsubq_s8(vreinterpretq_s8_u8(codes[g]), vdupq_n_s8(offset));
}

// The codes of one block and four rows, less their offset: of Q8_0 the first `groups`.
void LoadLines(TensorType type, const uint8_t* codes, size_t groups, Lines& lines) {
  if (type == TensorType::kQ8_0) {
    for (size_t g = 0; g < groups; ++g) {
      lines[g] = vreinterpretq_s8_u8(veorq_u8(vld1q_u8(codes + g * kPanelLine), vdupq_n_u8(128)));
    }
    return;
  }
  uint8x16_t plain[8];
  LoadFourBits(codes, plain);
  if (type == TensorType::kQ5_0) {
    const uint8x16_t fifth = vld1q_u8(codes + 4 * kPanelLine);
    for (int g = 0; g < 8; ++g) {
      const uint8x16_t bit = vandq_u8(vshlq_u8(fifth, vdupq_n_s8(static_cast<int8_t>(-g))), vdupq_n_u8(1));
      plain[g] = vorrq_u8(plain[g], vshlq_n_u8(bit, 4));
    }
  }
  if (type == TensorType::kQ6_K) {
    for (int g = 0; g < 8; ++g) {
      const uint8x16_t two = vld1q_u8(codes + (4 + g / 4) * static_cast<int>(kPanelLine));
      const uint8x16_t bits = vandq_u8(vshlq_u8(two, vdupq_n_s8(static_cast<int8_t>(-2 * (g % 4)))), vdupq_n_u8(3));
      plain[g] = vorrq_u8(plain[g], vshlq_n_u8(bits, 4));
    }
  }
  WithoutOffset(plain, static_cast<int8_t>(CodeOffset(type)), lines);
}

int32x4_t SumOfGroups(const Lines& lines, const int8_t* x, size_t begin, size_t end) {
  int32x4_t sum = vdupq_n_s32(0);
  for (size_t g = begin; g < end; ++g) {
    int32_t four;
    __builtin_memcpy(&four, x + 4 * g, sizeof(four));
    sum = vdotq_s32(sum, lines[g], vreinterpretq_s8_s32(vdupq_n_s32(four)));
  }
  return sum;
}

// The scales of one block and four rows.
struct Scales {
  float32x4_t scale, min;       // min: Q4_K
  int32x4_t first, second;      // Q6_K
};
Scales LoadScales(TensorType type, const PanelBlock<const uint8_t>& block, size_t quarter) {
  const uint8_t* scales = block.scales;
  const size_t row = quarter * kQuarterRows;
  Scales loaded = {};
  if (type == TensorType::kQ4_K) {
    const uint8_t* super = block.super;
    loaded.scale = vmulq_f32(LoadHalves(super + 2 * row), vcvtq_f32_u32(FourUnsigned(scales + row)));
    loaded.min = vmulq_f32(LoadHalves(super + 32 + 2 * row), vcvtq_f32_u32(FourUnsigned(scales + 16 + row)));
  } else if (type == TensorType::kQ6_K) {
    loaded.scale = LoadHalves(block.super + 2 * row);
    loaded.first = FourSigned(scales + row);
    loaded.second = FourSigned(scales + 16 + row);
  } else {
    loaded.scale = LoadHalves(scales + 2 * row);
  }
  return loaded;
}

void MultiplyPanel(const QuantizedPanel& panel, const QuantizedTile& tile, float* y, size_t stride) {
  const PanelLayout layout = PanelLayoutOf(panel.type, panel.half_blocks);
  const size_t groups = panel.half_blocks ? 4 : 8;
  for (size_t quarter = 0; quarter < 4; ++quarter) {
    float* const out = y + quarter * kQuarterRows;
    for (size_t b = 0; b < panel.blocks; ++b) {
      Lines lines;
      const PanelBlock<const uint8_t> block = BlockOf(layout, panel.data, b);
      LoadLines(panel.type, block.codes + quarter * kQuarterLine, groups, lines);
      const Scales scales = LoadScales(panel.type, block, quarter);
      for (size_t t = 0; t < tile.vectors; ++t) {
        const size_t at = b * tile.vectors + t;
        const int8_t* x = tile.values + at * kPanelBlock;
        int32x4_t sum;
        if (panel.type == TensorType::kQ6_K) {
          sum = vmulq_s32(SumOfGroups(lines, x, 0, 4), scales.first);
          sum = vmlaq_s32(sum, SumOfGroups(lines, x, 4, 8), scales.second);
        } else {
          sum = SumOfGroups(lines, x, 0, groups);
        }
        const float32x4_t factor = vmulq_n_f32(scales.scale, tile.scales[at]);
        float32x4_t total = vfmaq_f32(vld1q_f32(out + t * stride), vcvtq_f32_s32(sum), factor);
        if (panel.type == TensorType::kQ4_K) {
          total = vfmaq_f32(total, scales.min, vdupq_n_f32(tile.scales[at] * static_cast<float>(tile.minus[at])));
        }
        vst1q_f32(out + t * stride, total);
      }
    }
  }
}

void Quantized(const QuantizedPanels& panels, const QuantizedTile& tile, float* y, size_t stride) {
  EachPanel(panels, y, [&](const QuantizedPanel& panel, float* rows) { MultiplyPanel(panel, tile, rows, stride); });
}

float32x4_t LoadColumn(TensorType type, const uint8_t* values, size_t index) {
  if (type == TensorType::kF32) return vreinterpretq_f32_u8(vld1q_u8(values + 4 * index));
  if (type == TensorType::kF16) return LoadHalves(values + 2 * index);
  return vreinterpretq_f32_u32(vshlq_n_u32(vmovl_u16(vreinterpret_u16_u8(vld1_u8(values + 2 * index))), 16));
}

void Floats(const FloatPanel& panel, const FloatTile& tile, float* y, size_t stride) {
  for (size_t t = 0; t < tile.vectors; ++t) {
    for (size_t quarter = 0; quarter < 4; ++quarter) {
      float* const out = y + t * stride + quarter * kQuarterRows;
      float32x4_t sum = vld1q_f32(out);
      for (size_t c = 0; c < panel.columns; ++c) {
        const float32x4_t w = LoadColumn(panel.type, panel.values, c * kPanelRows + quarter * kQuarterRows);
        sum = vfmaq_n_f32(sum, w, tile.values[c * tile.vectors + t]);
      }
      vst1q_f32(out, sum);
    }
  }
}

// As the plain C++ does: of a product's time this is little.
void QuantizeBlock(const float* x, const QuantizedBlock& block) { kScalarPanelKernels.quantize(x, block); }

uint64_t Spin(uint64_t rounds) {
  int32x4_t sums[16];
  for (int32x4_t& sum : sums) sum = vdupq_n_s32(0);
  int8x16_t codes = vdupq_n_s8(3);
  int8x16_t values = vdupq_n_s8(-5);
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+w"(codes), "+w"(values));
#pragma GCC unroll 16
    for (int32x4_t& sum : sums) sum = vdotq_s32(sum, codes, values);
  }
  for (int32x4_t& sum : sums) asm volatile("" : : "w"(sum));
  return rounds * 16 * 16;
}

}  // namespace

const PanelKernels kNeonPanelKernels = {.quantized = Quantized, .floats = Floats, .quantize = QuantizeBlock, .spin = Spin};

}  // namespace fleetune
#endif
