#pragma once

#include <cstddef>
#include <cstdint>

#include "inference/gguf/gguf_file.h"

namespace fleetune {

// How 16 rows of weights lie together, so that a lane of a vector is a row and no sum goes across lanes. The same for
// every instruction set: one of 256 bits takes the halves of a line in turn.
//
// A panel of quantized rows is one stream, which is read from its beginning to its end: processors fetch that ahead by
// themselves, at the memory's speed. For each block of 32 columns it has
//   codes   in lines of 64 bytes: byte 4 r + j of a line belongs to row r
//   scales  behind them
// and before each 256 columns of Q4_K and Q6_K
//   super   of these columns
// A code is unsigned; group g of a block is its columns 4 g to 4 g + 3.
//
//   Q8_0   8 lines, line g: code of column 4 g + j
//   Q4_0, Q4_K, Q5_0, Q6_K   4 lines of four bits: of line g the low half is group g, the high half group g + 4
//   Q5_0   and a line of fifth bits: bit g is group g
//   Q6_K   and 2 lines of two bits: of line h, bits 2 i and 2 i + 1 are group 4 h + i
//
//   scales: Q8_0, Q4_0, Q5_0: 16 halves. Q4_K: 16 bytes of scales, 16 of mins. Q6_K: 16 signed bytes for columns 0 to
//   15, 16 for columns 16 to 31.
//   super: Q4_K: 16 halves of scales, 16 of mins. Q6_K: 16 halves.
//
// Of a Q8_0 panel of half blocks, the last 16 columns of each block are zero, and lines 4 to 7 are not there: B of an adapter
// of rank 16.
//
// A panel of F32, F16 or BF16 is, column after column, 16 values.
inline constexpr size_t kPanelRows = 16;
inline constexpr size_t kPanelBlock = 32;    // columns
inline constexpr size_t kPanelLine = 64;     // bytes
inline constexpr size_t kPanelSuper = 256;   // columns

struct PanelLayout {
  size_t codes = 0;   // bytes a block; of floats a column
  size_t scales = 0;  // bytes a block
  size_t super = 0;   // bytes before 256 columns
};

constexpr bool IsFloatType(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

constexpr PanelLayout PanelLayoutOf(TensorType type, bool half_blocks = false) {
  switch (type) {
    case TensorType::kF32: return {.codes = 64};
    case TensorType::kF16:
    case TensorType::kBF16: return {.codes = 32};
    case TensorType::kQ8_0: return {.codes = (half_blocks ? 4 : 8) * kPanelLine, .scales = 32};
    case TensorType::kQ4_0: return {.codes = 4 * kPanelLine, .scales = 32};
    case TensorType::kQ5_0: return {.codes = 5 * kPanelLine, .scales = 32};
    case TensorType::kQ4_K: return {.codes = 4 * kPanelLine, .scales = 32, .super = 64};
    case TensorType::kQ6_K: return {.codes = 6 * kPanelLine, .scales = 32, .super = 32};
  }
  return {};
}

// What a code stands for is code - offset, times scales.
constexpr int CodeOffset(TensorType type) {
  switch (type) {
    case TensorType::kQ8_0: return 128;
    case TensorType::kQ4_0: return 8;
    case TensorType::kQ5_0: return 16;
    case TensorType::kQ6_K: return 32;
    default: return 0;
  }
}

// Bytes of a panel, a multiple of 32; the next one follows it.
constexpr uint64_t PanelBytes(TensorType type, uint64_t columns, bool half_blocks = false) {
  const PanelLayout layout = PanelLayoutOf(type, half_blocks);
  const uint64_t blocks = IsFloatType(type) ? columns : columns / kPanelBlock;
  return blocks * (layout.codes + layout.scales) + columns / kPanelSuper * layout.super;
}

// One block of a quantized panel.
template <typename Byte>  // uint8_t, const or not
struct PanelBlock {
  Byte* codes;
  Byte* scales;
  Byte* super;
};
template <typename Byte>
[[gnu::always_inline]] constexpr PanelBlock<Byte> BlockOf(const PanelLayout& layout, Byte* panel, size_t block) {
  constexpr size_t kBlocks = kPanelSuper / kPanelBlock;
  const size_t bytes = layout.codes + layout.scales;
  Byte* super = panel;
  Byte* codes = panel + block * bytes;
  if (layout.super > 0) {
    super += block / kBlocks * (layout.super + kBlocks * bytes);
    codes = super + layout.super + block % kBlocks * bytes;
  }
  return {.codes = codes, .scales = codes + layout.codes, .super = super};
}

}  // namespace fleetune
