#pragma once

#include <cstddef>
#include <cstdint>

#include "inference/gguf/gguf_file.h"

namespace fleetune {

// Panels of 16 rows (panel_layout.h) times up to 16 vectors: what each instruction set has its own file for. The files
// include nothing that another file could share with them compiled otherwise.
//
// All give the same bits, of each row and vector:
//   y = fma(float(s), scale * x_scale, y) for each block of 32 columns in turn, where s is an exact sum of integers
//     (sum of code * x - offset * sum of x; of Q6_K each half times its own scale) and scale is the block's, of Q4_K and
//     Q6_K super-scale * scale;
//   of Q4_K then y = fma(-(super-min * min), x_scale * float(sum of x), y);
//   of float types y = fma(w, x, y) for each column in turn.

// Vectors quantized to int8 in blocks of 32 with a scale each, in a tile of `vectors` (1, 2, 4, 8 or 16).
struct QuantizedTile {
  const int8_t* values = nullptr;   // [block][vector][32], within -127 .. 127
  const float* scales = nullptr;    // [block][vector]
  const int32_t* minus = nullptr;   // [block][vector]: -(sum of the block's values)
  const int32_t* first = nullptr;   // [block][vector]: -(sum of values 0 to 15)
  const int32_t* second = nullptr;  // [block][vector]: -(sum of values 16 to 31)
  size_t vectors = 0;
};

struct QuantizedPanel {
  TensorType type = TensorType::kQ8_0;
  const uint8_t* data = nullptr;
  size_t blocks = 0;
  bool half_blocks = false;  // of Q8_0
};

// Neighbouring panels of one matrix, each `bytes` behind the one before it.
struct QuantizedPanels {
  QuantizedPanel first;
  size_t count = 1;
  size_t bytes = 0;
};

// multiply(panel, y of its rows) for each of them.
template <typename Multiply>
[[gnu::always_inline]] inline void EachPanel(const QuantizedPanels& panels, float* y, Multiply multiply) {
  QuantizedPanel panel = panels.first;
  for (size_t i = 0; i < panels.count; ++i) {
    multiply(panel, y + 16 * i);
    panel.data += panels.bytes;
  }
}

// A processor fetches a stream ahead while it is read fast. Of many vectors a block takes so long that what follows is to be
// asked for; of few, that would come in the processor's way.
inline constexpr size_t kFetchAhead = 4 << 10;
[[gnu::always_inline]] inline void FetchAhead(const uint8_t* block, size_t block_bytes) {
  for (size_t i = 0; i < block_bytes; i += 64) __builtin_prefetch(block + kFetchAhead + i);
}

struct FloatTile {
  const float* values = nullptr;  // [column][vector]
  size_t vectors = 0;             // 1, 2, 4, 8 or 16
};

struct FloatPanel {
  TensorType type = TensorType::kF32;
  const uint8_t* values = nullptr;
  size_t columns = 0;
};

// One block of 32 floats to int8: x_scale = largest magnitude / 127 (0 and zeros if it is below 1e-30; NaN and zeros if
// it is not finite), values rounded to nearest even.
struct QuantizedBlock {
  int8_t* values = nullptr;  // 32
  float* scale = nullptr;
  int32_t* minus = nullptr;
  int32_t* first = nullptr;
  int32_t* second = nullptr;
};
inline constexpr float kLeastMagnitude = 1e-30f;

struct PanelKernels {
  // Adds to y[vector * y_stride + row], 16 rows a panel.
  void (*quantized)(const QuantizedPanels& panels, const QuantizedTile& tile, float* y, size_t y_stride);
  void (*floats)(const FloatPanel& panel, const FloatTile& tile, float* y, size_t y_stride);
  void (*quantize)(const float* x, const QuantizedBlock& block);
  // What products could be at best: multiplies and adds int8 in registers alone, `rounds` times; returns how many
  // products were added.
  uint64_t (*spin)(uint64_t rounds);
};

extern const PanelKernels kScalarPanelKernels;
#if defined(__x86_64__)
extern const PanelKernels kAvx2PanelKernels;
extern const PanelKernels kAvx512PanelKernels;
#elif defined(__aarch64__)
extern const PanelKernels kNeonPanelKernels;
#endif

}  // namespace fleetune
