#include "inference/model/attention.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace fleetune {
namespace {

constexpr size_t kLanes = 8;

float Dot(const float* x, const float* y, size_t size) {
  float lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += x[i + lane] * y[i + lane];
  }
  // In pairs, so that the additions do not wait for one another.
  for (size_t half = kLanes / 2; half > 0; half /= 2) {
    for (size_t lane = 0; lane < half; ++lane) lanes[lane] += lanes[lane + half];
  }
  float sum = lanes[0];
  for (; i < size; ++i) sum += x[i] * y[i];
  return sum;
}

// In place; the result sums to 1.
void Softmax(std::span<float> scores) {
  const float highest = *std::max_element(scores.begin(), scores.end());
  for (float& score : scores) score = std::exp(score - highest);
  double sum = 0;
  for (const float score : scores) sum += static_cast<double>(score);
  const float inverse = static_cast<float>(1 / sum);
  for (float& score : scores) score *= inverse;
}

// out[i] = sum over t of weights[t] * rows[t * stride + i], for `size` elements.
void WeightedSum(std::span<const float> weights, const float* rows, size_t stride, size_t size, float* out) {
  size_t i = 0;
  for (; i + kLanes <= size; i += kLanes) {
    float lanes[kLanes] = {};  // in registers over all rows
    for (size_t t = 0; t < weights.size(); ++t) {
      for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += weights[t] * rows[t * stride + i + lane];
    }
    std::copy_n(lanes, kLanes, out + i);
  }
  for (; i < size; ++i) {
    out[i] = 0;
    for (size_t t = 0; t < weights.size(); ++t) out[i] += weights[t] * rows[t * stride + i];
  }
}

}  // namespace

void Attend(const LlamaShape& shape, const LayerCache& cache, uint32_t visible, std::span<const float> q,
            std::span<float> scores, std::span<float> out) {
  const size_t head_size = shape.head_size;
  const size_t row = shape.kv_heads * head_size;
  CHECK(visible > 0 && scores.size() >= visible);
  CHECK(cache.keys.size() >= visible * row && cache.values.size() >= visible * row);
  CHECK(q.size() == shape.heads * head_size && out.size() == q.size());

  scores = scores.first(visible);
  const float scale = 1 / std::sqrt(static_cast<float>(head_size));
  const uint32_t sharing = shape.heads / shape.kv_heads;
  for (uint32_t head = 0; head < shape.heads; ++head) {
    const size_t kv_offset = head / sharing * head_size;
    const float* query = q.data() + head * head_size;
    for (size_t t = 0; t < visible; ++t) {
      scores[t] = scale * Dot(query, cache.keys.data() + t * row + kv_offset, head_size);
    }
    Softmax(scores);
    WeightedSum(scores, cache.values.data() + kv_offset, row, head_size, out.data() + head * head_size);
  }
}

}  // namespace fleetune
