#pragma once

#include <cstddef>
#include <cstdint>

#include "inference/kernels/cache_layout.h"
#include "inference/kernels/instruction_set.h"

namespace fleetune {

// The parts of a forward pass that are no products of matrices, 16 floats at a time. Written once and compiled for each
// instruction set (lane_kernels_impl.h). Sums are in a fixed order for each instruction set, but the last bits differ
// between them, because some fuse a product with the addition. Thread-safe.

// Queries of one head group: `queries` vectors of head_size floats that share a key-value head.
struct AttentionQuery {
  const float* q = nullptr;  // head_size
  float* out = nullptr;      // head_size
  size_t visible = 0;        // tokens, from the first of the cache on; at least 1
};
struct AttentionTask {
  const AttentionQuery* queries = nullptr;
  size_t count = 0;
  CacheLayout layout;
  const uint8_t* blocks = nullptr;  // one after another
  // AttentionScratch floats.
  float* scratch = nullptr;
};
size_t AttentionScratch(const CacheLayout& cache, size_t queries);

struct LaneKernels {
  // out = softmax(q k / sqrt(head_size)) v over the visible tokens, for each query.
  void (*attend)(const AttentionTask& task);
  // gate[i] = gate[i] / (1 + exp(-gate[i])) * up[i]
  void (*swiglu)(float* gate, const float* up, size_t size);
  // y = x / sqrt(mean of squares + epsilon) * weight
  void (*normalize)(const float* x, const float* weight, float epsilon, size_t size, float* y);
  // Floats to halves, rounded to nearest even; above the largest half, the largest.
  void (*to_halves)(const float* x, size_t size, uint16_t* halves);
  // The largest of them, at least one; NaN if one is not finite.
  float (*largest)(const float* x, size_t size);
  // y = exp((x - highest) * scale) to 1e-6 of itself, where that is above 1e-37; below it is less than 2e-38, above 0. Requires
  // finite x, highest and scale.
  void (*exponentials)(const float* x, size_t size, float highest, float scale, float* y);
  // What reading could be at best: the sum of all words of 64 bits. Requires a multiple of 256 bytes.
  uint64_t (*sum_words)(const uint8_t* bytes, size_t size);
};
const LaneKernels& LaneKernelsOf(InstructionSet set);

}  // namespace fleetune
