#include "lora/train/attention.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "lora/train/simd_clones.h"
#include "lora/train/vector_exp.h"

namespace fleetune {
namespace {

// Keys and values lie transposed in scratch, [head_size][length], so that all loops below run over tokens.

void Transpose(const float* rows, uint64_t stride, uint32_t length, uint32_t width, float* columns) {
  for (uint32_t t = 0; t < length; ++t) {
    for (uint32_t d = 0; d < width; ++d) columns[size_t{d} * length + t] = rows[t * stride + d];
  }
}

void TransposeBack(const float* columns, uint32_t length, uint32_t width, float* rows, uint64_t stride) {
  for (uint32_t t = 0; t < length; ++t) {
    for (uint32_t d = 0; d < width; ++d) rows[t * stride + d] = columns[size_t{d} * length + t];
  }
}

// out[t] = sum over d of vector[d] * columns[d][t], for t < n.
FLEETUNE_SIMD_CLONES
void Combine(const float* vector, const float* columns, uint32_t length, uint32_t width, uint32_t n, float* out) {
  for (uint32_t t = 0; t < n; ++t) out[t] = 0;
  uint32_t d = 0;
  for (; d + 4 <= width; d += 4) {
    const float* c = columns + size_t{d} * length;
    const float v0 = vector[d], v1 = vector[d + 1], v2 = vector[d + 2], v3 = vector[d + 3];
    for (uint32_t t = 0; t < n; ++t) {
      out[t] += (v0 * c[t] + v1 * c[length + t]) + (v2 * c[2 * length + t] + v3 * c[3 * length + t]);
    }
  }
  for (; d < width; ++d) {
    const float* c = columns + size_t{d} * length;
    for (uint32_t t = 0; t < n; ++t) out[t] += vector[d] * c[t];
  }
}

// out[d] = sum over t < n of weights[t] * columns[d][t].
FLEETUNE_SIMD_CLONES
void Project(const float* weights, const float* columns, uint32_t length, uint32_t width, uint32_t n, float* out) {
  for (uint32_t d = 0; d < width; ++d) {
    const float* c = columns + size_t{d} * length;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (uint32_t t = 0; t < n; ++t) sum += weights[t] * c[t];
    out[d] = sum;
  }
}

// columns[d][t] += vector[d] * weights[t], for t < n.
FLEETUNE_SIMD_CLONES
void AddOuter(const float* vector, const float* weights, uint32_t length, uint32_t width, uint32_t n,
              float* columns) {
  for (uint32_t d = 0; d < width; ++d) {
    float* c = columns + size_t{d} * length;
    const float v = vector[d];
#pragma omp simd
    for (uint32_t t = 0; t < n; ++t) c[t] += v * weights[t];
  }
}

FLEETUNE_SIMD_CLONES
float Largest(const float* values, uint32_t n) {
  float largest = values[0];
#pragma omp simd reduction(max : largest)
  for (uint32_t t = 0; t < n; ++t) largest = values[t] > largest ? values[t] : largest;
  return largest;
}

// values[t] = e^(scale * values[t] - shift); returns their sum.
FLEETUNE_SIMD_CLONES
float ExpScaled(float* values, float scale, float shift, uint32_t n) {
  float sum = 0;
#pragma omp simd reduction(+ : sum)
  for (uint32_t t = 0; t < n; ++t) {
    values[t] = VectorExp(values[t] * scale - shift);
    sum += values[t];
  }
  return sum;
}

// d_score[t] = p[t] * (d_p[t] - mean) * scale, in place of d_p.
FLEETUNE_SIMD_CLONES
void SoftmaxBackward(const float* p, float mean, float scale, uint32_t n, float* d_p) {
  for (uint32_t t = 0; t < n; ++t) d_p[t] = p[t] * (d_p[t] - mean) * scale;
}

float Scale(const AttentionShape& shape) { return 1.0f / std::sqrt(static_cast<float>(shape.head_size)); }

}  // namespace

void AttentionForward(const AttentionShape& shape, const AttentionForwardArgs& args) {
  const uint32_t length = shape.length;
  const uint32_t width = shape.head_size;
  const float scale = Scale(shape);
  const size_t plane = size_t{length} * width;
  std::vector<float> scratch(2 * plane + length);
  float* keys = scratch.data();
  float* values = keys + plane;
  float* scores = values + plane;
  Transpose(args.key, shape.key_stride, length, width, keys);
  Transpose(args.value, shape.key_stride, length, width, values);
  for (uint32_t t = 0; t < length; ++t) {
    for (uint32_t g = 0; g < shape.group; ++g) {
      const size_t at = t * shape.query_stride + size_t{g} * width;
      Combine(args.query + at, keys, length, width, t + 1, scores);
      const float shift = Largest(scores, t + 1) * scale;
      const float sum = ExpScaled(scores, scale, shift, t + 1);
      float* output = args.output + at;
      Project(scores, values, length, width, t + 1, output);
      for (uint32_t d = 0; d < width; ++d) output[d] /= sum;
      args.log_sum[t * shape.log_sum_stride + g] = shift + std::log(sum);
    }
  }
}

void AttentionBackward(const AttentionShape& shape, const AttentionBackwardArgs& args) {
  const AttentionForwardArgs& forward = args.forward;
  const uint32_t length = shape.length;
  const uint32_t width = shape.head_size;
  const float scale = Scale(shape);
  const size_t plane = size_t{length} * width;
  std::vector<float> scratch(4 * plane + 2 * size_t{length}, 0.0f);
  float* keys = scratch.data();
  float* values = keys + plane;
  float* d_keys = values + plane;
  float* d_values = d_keys + plane;
  float* p = d_values + plane;
  float* d_p = p + length;
  Transpose(forward.key, shape.key_stride, length, width, keys);
  Transpose(forward.value, shape.key_stride, length, width, values);
  for (uint32_t t = 0; t < length; ++t) {
    const uint32_t n = t + 1;
    for (uint32_t g = 0; g < shape.group; ++g) {
      const size_t at = t * shape.query_stride + size_t{g} * width;
      const float* d_output = args.d_output + at;
      float mean = 0;
      for (uint32_t d = 0; d < width; ++d) mean += d_output[d] * forward.output[at + d];
      Combine(forward.query + at, keys, length, width, n, p);
      ExpScaled(p, scale, forward.log_sum[t * shape.log_sum_stride + g], n);
      Combine(d_output, values, length, width, n, d_p);
      AddOuter(d_output, p, length, width, n, d_values);
      SoftmaxBackward(p, mean, scale, n, d_p);
      Project(d_p, keys, length, width, n, args.d_query + at);
      AddOuter(forward.query + at, d_p, length, width, n, d_keys);
    }
  }
  TransposeBack(d_keys, length, width, args.d_key, shape.key_stride);
  TransposeBack(d_values, length, width, args.d_value, shape.key_stride);
}

}  // namespace fleetune
