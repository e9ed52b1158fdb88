#include "inference/model/attention.h"

#include <cmath>

#include "base/random.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

std::vector<float> RandomValues(size_t count, uint64_t seed, double range) {
  SplitMix64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(range * (2 * random.NextUnit() - 1));
  return values;
}

// One element of one head's result, in double.
double Reference(const LlamaShape& shape, const LayerCache& cache, uint32_t visible, std::span<const float> q,
                 uint32_t head, uint32_t element) {
  const size_t row = shape.kv_heads * shape.head_size;
  const size_t kv = head / (shape.heads / shape.kv_heads) * shape.head_size;
  double weights = 0;
  double sum = 0;
  for (size_t t = 0; t < visible; ++t) {
    double score = 0;
    for (size_t i = 0; i < shape.head_size; ++i) {
      score += static_cast<double>(q[head * shape.head_size + i]) *
               static_cast<double>(cache.keys[t * row + kv + i]);
    }
    const double weight = std::exp(score / std::sqrt(shape.head_size));
    weights += weight;
    sum += weight * static_cast<double>(cache.values[t * row + kv + element]);
  }
  return sum / weights;
}

TEST(Attend, AgreesWithDouble) {
  for (const auto& [heads, kv_heads, head_size] : {std::tuple{2u, 2u, 3u}, {6u, 2u, 8u}, {4u, 1u, 20u}}) {
    LlamaShape shape;
    shape.heads = heads;
    shape.kv_heads = kv_heads;
    shape.head_size = head_size;
    constexpr uint32_t kTokens = 17;
    const LayerCache cache = {.keys = RandomValues(size_t{kTokens} * kv_heads * head_size, 1, 3),
                              .values = RandomValues(size_t{kTokens} * kv_heads * head_size, 2, 3)};
    const std::vector<float> q = RandomValues(size_t{heads} * head_size, 3, 3);
    std::vector<float> scores(kTokens);
    std::vector<float> out(q.size());
    for (const uint32_t visible : {1u, 2u, kTokens}) {
      Attend(shape, cache, visible, q, scores, out);
      for (uint32_t head = 0; head < heads; ++head) {
        for (uint32_t i = 0; i < head_size; ++i) {
          ASSERT_NEAR(static_cast<double>(out[head * head_size + i]),
                      Reference(shape, cache, visible, q, head, i), 2e-5);
        }
      }
    }
  }
}

TEST(Attend, LargeScoresDoNotOverflow) {
  LlamaShape shape;
  shape.heads = shape.kv_heads = shape.head_size = 1;
  const LayerCache cache = {.keys = {1000, 999}, .values = {1, 2}};
  std::vector<float> scores(2);
  std::vector<float> out(1);
  Attend(shape, cache, 2, std::vector<float>{100}, scores, out);
  EXPECT_EQ(out[0], 1.0f);
}

}  // namespace
}  // namespace fleetune
