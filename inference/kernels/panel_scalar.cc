// Defines what the other files compute: one row, one vector, one block after another.

#include <bit>
#include <cmath>
#include <cstring>

#include "inference/kernels/blocks.h"
#include "inference/kernels/panel_codes.h"
#include "inference/kernels/panel_kernels.h"
#include "inference/kernels/panel_layout.h"

namespace fleetune {
namespace {

float HalfAt(const uint8_t* halves, size_t index) {
  uint16_t half;
  std::memcpy(&half, halves + 2 * index, sizeof(half));
  return HalfToFloat(half);
}

// Sum of code * x over columns `begin` to `end` of a block.
int32_t SumOfProducts(TensorType type, const uint8_t* lines, size_t row, const int8_t* x, size_t begin, size_t end) {
  int32_t sum = 0;
  for (size_t i = begin; i < end; ++i) sum += CodeAt(type, lines, row, i) * x[i];
  return sum;
}

struct VectorBlock {
  const int8_t* x;
  float scale;
  int32_t minus, first, second;
};

float AddBlock(const QuantizedPanel& panel, size_t b, size_t row, const VectorBlock& v, float y) {
  const PanelBlock<const uint8_t> block = BlockOf(PanelLayoutOf(panel.type, panel.half_blocks), panel.data, b);
  const uint8_t* lines = block.codes;
  const uint8_t* scales = block.scales;
  const int offset = CodeOffset(panel.type);
  if (panel.type == TensorType::kQ6_K) {
    const float scale = HalfAt(block.super, row);
    const int32_t first = SumOfProducts(panel.type, lines, row, v.x, 0, 16) + offset * v.first;
    const int32_t second = SumOfProducts(panel.type, lines, row, v.x, 16, 32) + offset * v.second;
    const int32_t sum = static_cast<int8_t>(scales[row]) * first + static_cast<int8_t>(scales[16 + row]) * second;
    return std::fma(static_cast<float>(sum), scale * v.scale, y);
  }
  const int32_t sum = panel.half_blocks ? SumOfProducts(panel.type, lines, row, v.x, 0, 16) + offset * v.first
                                        : SumOfProducts(panel.type, lines, row, v.x, 0, 32) + offset * v.minus;
  if (panel.type != TensorType::kQ4_K) return std::fma(static_cast<float>(sum), HalfAt(scales, row) * v.scale, y);
  const float scale = HalfAt(block.super, row) * scales[row];
  const float min = HalfAt(block.super + 32, row) * scales[16 + row];
  y = std::fma(static_cast<float>(sum), scale * v.scale, y);
  return std::fma(min, v.scale * static_cast<float>(v.minus), y);
}

void MultiplyPanel(const QuantizedPanel& panel, const QuantizedTile& tile, float* y, size_t y_stride) {
  for (size_t t = 0; t < tile.vectors; ++t) {
    for (size_t b = 0; b < panel.blocks; ++b) {
      const size_t at = b * tile.vectors + t;
      const VectorBlock v = {.x = tile.values + at * kPanelBlock,
                             .scale = tile.scales[at],
                             .minus = tile.minus[at],
                             .first = tile.first[at],
                             .second = tile.second[at]};
      for (size_t row = 0; row < kPanelRows; ++row) {
        float& sum = y[t * y_stride + row];
        sum = AddBlock(panel, b, row, v, sum);
      }
    }
  }
}

void Quantized(const QuantizedPanels& panels, const QuantizedTile& tile, float* y, size_t y_stride) {
  EachPanel(panels, y, [&](const QuantizedPanel& panel, float* rows) { MultiplyPanel(panel, tile, rows, y_stride); });
}

float ValueAt(const FloatPanel& panel, size_t index) {
  if (panel.type == TensorType::kF32) {
    float value;
    std::memcpy(&value, panel.values + 4 * index, sizeof(value));
    return value;
  }
  if (panel.type == TensorType::kF16) return HalfAt(panel.values, index);
  uint16_t bfloat;
  std::memcpy(&bfloat, panel.values + 2 * index, sizeof(bfloat));
  return BfloatToFloat(bfloat);
}

void Floats(const FloatPanel& panel, const FloatTile& tile, float* y, size_t y_stride) {
  for (size_t c = 0; c < panel.columns; ++c) {
    for (size_t row = 0; row < kPanelRows; ++row) {
      const float w = ValueAt(panel, c * kPanelRows + row);
      for (size_t t = 0; t < tile.vectors; ++t) {
        float& sum = y[t * y_stride + row];
        sum = std::fma(w, tile.values[c * tile.vectors + t], sum);
      }
    }
  }
}

void QuantizeBlock(const float* x, const QuantizedBlock& block) {
  // Bits of magnitudes are ordered as the magnitudes are, infinity and NaN above all.
  uint32_t largest = 0;
  for (size_t i = 0; i < kPanelBlock; ++i) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7FFFFFFF;
    if (bits > largest) largest = bits;
  }
  float magnitude = std::bit_cast<float>(largest);
  float inverse = 127 / magnitude;
  float scale = magnitude / 127;
  if (largest >= 0x7F800000 || magnitude < kLeastMagnitude) {
    scale = largest >= 0x7F800000 ? std::bit_cast<float>(0x7FC00000) : 0;
    inverse = 0;
  }
  int32_t sums[2] = {};
  for (size_t i = 0; i < kPanelBlock; ++i) {
    const int value = inverse == 0 ? 0 : static_cast<int>(std::nearbyint(x[i] * inverse));
    block.values[i] = static_cast<int8_t>(value);
    sums[i / 16] += value;
  }
  *block.scale = scale;
  *block.first = -sums[0];
  *block.second = -sums[1];
  *block.minus = -(sums[0] + sums[1]);
}

uint64_t Spin(uint64_t rounds) {
  int32_t sums[8] = {};
  int32_t code = 3;
  int32_t value = -5;
  for (uint64_t i = 0; i < rounds; ++i) {
    asm volatile("" : "+r"(code), "+r"(value));
    for (int32_t& sum : sums) sum += code * value;
  }
  for (int32_t& sum : sums) asm volatile("" : : "r"(sum));
  return rounds * 8;
}

}  // namespace

const PanelKernels kScalarPanelKernels = {.quantized = Quantized, .floats = Floats, .quantize = QuantizeBlock, .spin = Spin};

}  // namespace fleetune
