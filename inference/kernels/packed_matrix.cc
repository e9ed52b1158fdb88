#include "inference/kernels/packed_matrix.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "inference/kernels/blocks.h"
#include "inference/kernels/panel_codes.h"
#include "inference/kernels/super_blocks.h"

namespace fleetune {
namespace {

constexpr size_t kGroups = kPanelBlock / 4;

// Codes of one row's block of 32 columns into its lines.
void PackFourBits(const uint8_t* codes, size_t row, uint8_t* lines) {
  for (size_t g = 0; g < kGroups / 2; ++g) {
    for (size_t j = 0; j < 4; ++j) {
      lines[g * kPanelLine + 4 * row + j] =
          static_cast<uint8_t>((codes[4 * g + j] & 15) | (codes[16 + 4 * g + j] & 15) << 4);
    }
  }
}
void PackFifthBits(const uint8_t* codes, size_t row, uint8_t* line) {
  for (size_t j = 0; j < 4; ++j) {
    uint32_t bits = 0;
    for (size_t g = 0; g < kGroups; ++g) bits |= static_cast<uint32_t>(codes[4 * g + j] >> 4 & 1) << g;
    line[4 * row + j] = static_cast<uint8_t>(bits);
  }
}
void PackTwoBits(const uint8_t* codes, size_t row, uint8_t* lines) {
  for (size_t half = 0; half < 2; ++half) {
    for (size_t j = 0; j < 4; ++j) {
      uint32_t bits = 0;
      for (size_t i = 0; i < 4; ++i) {
        bits |= static_cast<uint32_t>(codes[16 * half + 4 * i + j] >> 4 & 3) << (2 * i);
      }
      lines[half * kPanelLine + 4 * row + j] = static_cast<uint8_t>(bits);
    }
  }
}

// A panel being made.
struct Panel {
  TensorType type;
  uint8_t* data;
  bool half_blocks;
  PanelBlock<uint8_t> Block(size_t b) const { return BlockOf(PanelLayoutOf(type, half_blocks), data, b); }
};

void CopyHalf(const uint8_t* from, size_t row, uint8_t* halves) { std::memcpy(halves + 2 * row, from, 2); }

void PackQ8_0(const uint8_t* block, size_t row, size_t b, const Panel& panel) {
  const PanelBlock<uint8_t> to = panel.Block(b);
  CopyHalf(block, row, to.scales);
  const size_t groups = panel.half_blocks ? kGroups / 2 : kGroups;
  for (size_t g = 0; g < kGroups; ++g) {  // four codes at a time
    uint32_t codes;
    std::memcpy(&codes, block + 2 + 4 * g, sizeof(codes));
    if (g >= groups) {
      CHECK(codes == 0);
      continue;
    }
    codes ^= 0x80808080u;
    std::memcpy(to.codes + g * kPanelLine + 4 * row, &codes, sizeof(codes));
  }
}

void PackQ4_0(const uint8_t* block, size_t row, size_t b, const Panel& panel) {
  const PanelBlock<uint8_t> to = panel.Block(b);
  CopyHalf(block, row, to.scales);
  uint8_t codes[kPanelBlock];
  for (size_t j = 0; j < 16; ++j) {
    codes[j] = block[2 + j] & 15;
    codes[j + 16] = block[2 + j] >> 4;
  }
  PackFourBits(codes, row, to.codes);
}

void PackQ5_0(const uint8_t* block, size_t row, size_t b, const Panel& panel) {
  const PanelBlock<uint8_t> to = panel.Block(b);
  CopyHalf(block, row, to.scales);
  uint32_t fifth;
  std::memcpy(&fifth, block + 2, sizeof(fifth));
  uint8_t codes[kPanelBlock];
  for (size_t j = 0; j < 16; ++j) {
    codes[j] = static_cast<uint8_t>((block[6 + j] & 15) | (fifth >> j & 1) << 4);
    codes[j + 16] = static_cast<uint8_t>(block[6 + j] >> 4 | (fifth >> (j + 16) & 1) << 4);
  }
  PackFourBits(codes, row, to.codes);
  PackFifthBits(codes, row, to.codes + 4 * kPanelLine);
}

void PackQ4_K(const uint8_t* block, size_t row, size_t s, const Panel& panel) {
  const Q4KBlock read = ReadQ4K(block);
  for (size_t i = 0; i < 8; ++i) {
    const PanelBlock<uint8_t> to = panel.Block(s * 8 + i);
    CopyHalf(block, row, to.super);
    CopyHalf(block + 2, row, to.super + 32);
    PackFourBits(read.codes + i * kPanelBlock, row, to.codes);
    to.scales[row] = read.scales[i];
    to.scales[16 + row] = read.mins[i];
  }
}

void PackQ6_K(const uint8_t* block, size_t row, size_t s, const Panel& panel) {
  const Q6KBlock read = ReadQ6K(block);
  for (size_t i = 0; i < 8; ++i) {
    const PanelBlock<uint8_t> to = panel.Block(s * 8 + i);
    CopyHalf(block + 208, row, to.super);
    PackFourBits(read.codes + i * kPanelBlock, row, to.codes);
    PackTwoBits(read.codes + i * kPanelBlock, row, to.codes + 4 * kPanelLine);
    to.scales[row] = static_cast<uint8_t>(read.scales[2 * i]);
    to.scales[16 + row] = static_cast<uint8_t>(read.scales[2 * i + 1]);
  }
}

void PackBlock(const uint8_t* block, size_t row, size_t index, const Panel& panel) {
  switch (panel.type) {
    case TensorType::kF32: std::memcpy(panel.data + (index * kPanelRows + row) * 4, block, 4); return;
    case TensorType::kF16:
    case TensorType::kBF16: std::memcpy(panel.data + (index * kPanelRows + row) * 2, block, 2); return;
    case TensorType::kQ8_0: return PackQ8_0(block, row, index, panel);
    case TensorType::kQ4_0: return PackQ4_0(block, row, index, panel);
    case TensorType::kQ5_0: return PackQ5_0(block, row, index, panel);
    case TensorType::kQ4_K: return PackQ4_K(block, row, index, panel);
    case TensorType::kQ6_K: return PackQ6_K(block, row, index, panel);
  }
}

float HalfAt(const uint8_t* halves, size_t row) {
  uint16_t half;
  std::memcpy(&half, halves + 2 * row, sizeof(half));
  return HalfToFloat(half);
}

// 32 values of a row.
void UnpackBlock(TensorType type, const PanelBlock<const uint8_t>& block, size_t row, float* values) {
  for (size_t i = 0; i < kPanelBlock; ++i) {
    const int code = CodeAt(type, block.codes, row, i);
    const float value = static_cast<float>(code - CodeOffset(type));
    if (type == TensorType::kQ4_K) {
      const float scale = HalfAt(block.super, row) * block.scales[row];
      values[i] = scale * value - HalfAt(block.super + 32, row) * block.scales[16 + row];
    } else if (type == TensorType::kQ6_K) {
      const int8_t scale = static_cast<int8_t>(block.scales[i / 16 * 16 + row]);
      values[i] = HalfAt(block.super, row) * scale * value;
    } else {
      values[i] = value * HalfAt(block.scales, row);
    }
  }
}

}  // namespace

uint64_t PackedBytes(TensorType type, uint64_t rows, uint64_t columns, bool half_blocks) {
  CHECK(columns > 0 && columns % BlockElements(type) == 0);
  CHECK(!half_blocks || type == TensorType::kQ8_0);
  return (rows + kPanelRows - 1) / kPanelRows * PanelBytes(type, columns, half_blocks);
}

void PackRows(const WeightMatrix& w, std::span<uint8_t> out, bool half_blocks) {
  CHECK(out.size() == PackedBytes(w.type, w.rows, w.columns, half_blocks));
  const uint64_t panel_bytes = PanelBytes(w.type, w.columns, half_blocks);
  const size_t blocks = w.columns / BlockElements(w.type);
  const size_t block_bytes = BlockBytes(w.type);
  CHECK(w.data.size() == w.rows * blocks * block_bytes);
  std::fill(out.begin(), out.end(), uint8_t{0});
  for (size_t row = 0; row < w.rows; ++row) {
    const Panel panel = {
        .type = w.type, .data = out.data() + row / kPanelRows * panel_bytes, .half_blocks = half_blocks};
    const uint8_t* in = w.data.data() + row * blocks * block_bytes;
    for (size_t block = 0; block < blocks; ++block) {
      PackBlock(in + block * block_bytes, row % kPanelRows, block, panel);
    }
  }
}

void UnpackRow(const PackedMatrix& w, uint64_t row, std::span<float> values) {
  CHECK(row < w.rows && values.size() == w.columns && !w.half_blocks);
  CHECK(w.data.size() == PackedBytes(w.type, w.rows, w.columns));
  const uint8_t* at = w.data.data() + row / kPanelRows * PanelBytes(w.type, w.columns);
  const size_t in_panel = row % kPanelRows;
  if (IsFloatType(w.type)) {
    const size_t bytes = BlockBytes(w.type);
    for (size_t c = 0; c < w.columns; ++c) {
      Dequantize(w.type, {at + (c * kPanelRows + in_panel) * bytes, bytes}, values.subspan(c, 1));
    }
    return;
  }
  for (size_t b = 0; b < w.columns / kPanelBlock; ++b) {
    UnpackBlock(w.type, BlockOf(PanelLayoutOf(w.type), at, b), in_panel, values.data() + b * kPanelBlock);
  }
}

}  // namespace fleetune
