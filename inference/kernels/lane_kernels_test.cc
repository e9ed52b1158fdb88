#include "inference/kernels/lane_kernels.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <utility>
#include <vector>

#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

std::vector<float> RandomValues(size_t count, uint64_t seed, double range) {
  SplitMix64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(range * (2 * random.NextUnit() - 1));
  return values;
}

class LaneKernelsTest : public testing::TestWithParam<InstructionSet> {
 protected:
  const LaneKernels& kernels_ = LaneKernelsOf(GetParam());
};

// Keys and values of one head, as they lie in the cache and in double.
struct Cache {
  Cache(TensorType type, size_t cached_tokens, size_t size)
      : tokens(cached_tokens), head_size(size), layout(CacheLayoutOf(type, size)) {
    blocks.resize((tokens + kCacheBlock - 1) / kCacheBlock * layout.bytes);
    const std::vector<float> random = RandomValues(2 * tokens * head_size, 5, 3);
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t i = 0; i < head_size; ++i) {
        Put(layout, t, i * kCacheBlock + t % kCacheBlock, 0, random[2 * (t * head_size + i)]);
        Put(layout, t, t % kCacheBlock * head_size + i, layout.values, random[2 * (t * head_size + i) + 1]);
      }
      for (size_t group = 0; group < layout.groups; ++group) {
        PutHalf(t, layout.key_scales, group * kCacheBlock + t % kCacheBlock,
                0.01f + 0.001f * static_cast<float>(t % 7 + group));
        PutHalf(t, layout.value_scales, t % kCacheBlock * layout.groups + group,
                0.02f + 0.001f * static_cast<float>(t % 5 + group));
      }
    }
  }
  double key(size_t t, size_t i) const {
    const double scale =
        layout.groups == 0 ? 1 : Half(t, layout.key_scales, i / layout.group * kCacheBlock + t % kCacheBlock);
    return scale * Element(t, 0, i * kCacheBlock + t % kCacheBlock);
  }
  double value(size_t t, size_t i) const {
    const double scale =
        layout.groups == 0 ? 1 : Half(t, layout.value_scales, t % kCacheBlock * layout.groups + i / layout.group);
    return scale * Element(t, layout.values, t % kCacheBlock * head_size + i);
  }
  AttentionTask Task(const std::vector<AttentionQuery>& queries, std::vector<float>& scratch) const {
    scratch.resize(AttentionScratch(layout, queries.size()));
    return {.queries = queries.data(),
            .count = queries.size(),
            .layout = layout,
            .blocks = blocks.data(),
            .scratch = scratch.data()};
  }

  size_t tokens, head_size;
  CacheLayout layout;
  std::vector<uint8_t> blocks;

 private:
  void Put(const CacheLayout& of, size_t t, size_t index, size_t offset, float x) {
    if (of.type == TensorType::kF16) return PutHalf(t, offset, index, x);
    blocks[t / kCacheBlock * of.bytes + offset + index] =
        static_cast<uint8_t>(static_cast<int8_t>(x * 42));  // -126 to 126
  }
  void PutHalf(size_t t, size_t offset, size_t index, float x) {
    const uint16_t half = FloatToHalf(x);
    std::memcpy(blocks.data() + t / kCacheBlock * layout.bytes + offset + index * sizeof(half), &half, sizeof(half));
  }
  double Half(size_t t, size_t offset, size_t index) const {
    uint16_t half;
    std::memcpy(&half, blocks.data() + t / kCacheBlock * layout.bytes + offset + index * sizeof(half), sizeof(half));
    return static_cast<double>(HalfToFloat(half));
  }
  double Element(size_t t, size_t offset, size_t index) const {
    if (layout.type == TensorType::kF16) return Half(t, offset, index);
    return static_cast<int8_t>(blocks[t / kCacheBlock * layout.bytes + offset + index]);
  }
};

std::vector<double> Reference(const Cache& cache, const float* q, size_t visible) {
  std::vector<double> scores(visible);
  double highest = -1e300;
  for (size_t t = 0; t < visible; ++t) {
    for (size_t i = 0; i < cache.head_size; ++i) scores[t] += static_cast<double>(q[i]) * cache.key(t, i);
    scores[t] /= std::sqrt(static_cast<double>(cache.head_size));
    highest = std::max(highest, scores[t]);
  }
  std::vector<double> out(cache.head_size);
  double total = 0;
  for (size_t t = 0; t < visible; ++t) {
    const double weight = std::exp(scores[t] - highest);
    total += weight;
    for (size_t i = 0; i < cache.head_size; ++i) out[i] += weight * cache.value(t, i);
  }
  for (double& element : out) element /= total;
  return out;
}

TEST_P(LaneKernelsTest, AttendAgreesWithDouble) {
  for (const auto& [type, head_size] : {std::pair{TensorType::kF16, 3u},
                                        {TensorType::kF16, 8u},
                                        {TensorType::kF16, 20u},
                                        {TensorType::kF16, 64u},
                                        {TensorType::kQ8_0, 3u},
                                        {TensorType::kQ8_0, 8u},
                                        {TensorType::kQ8_0, 16u},
                                        {TensorType::kQ8_0, 20u},
                                        {TensorType::kQ8_0, 32u},
                                        {TensorType::kQ8_0, 64u},
                                        {TensorType::kQ8_0, 128u}}) {
    const Cache cache(type, 83, head_size);
    const std::vector<float> q = RandomValues(5 * head_size, 1, 3);
    std::vector<float> out(5 * head_size);
    std::vector<AttentionQuery> queries;
    const size_t visible[] = {1, 16, 17, 64, 83};
    for (size_t i = 0; i < 5; ++i) {
      queries.push_back({.q = q.data() + i * head_size, .out = out.data() + i * head_size, .visible = visible[i]});
    }
    std::vector<float> scratch;
    kernels_.attend(cache.Task(queries, scratch));
    for (size_t i = 0; i < 5; ++i) {
      const std::vector<double> expected = Reference(cache, queries[i].q, visible[i]);
      for (size_t j = 0; j < head_size; ++j) {
        ASSERT_NEAR(static_cast<double>(out[i * head_size + j]), expected[j], 3e-5)
            << TensorTypeName(type) << " " << head_size << " " << i;
      }
    }
  }
}

// Few queries read keys and values where they lie, many from a copy.
TEST_P(LaneKernelsTest, AQueryIsTheSameAloneAndAmongOthers) {
  constexpr size_t kQueries = 20;
  for (const auto& [type, head_size] : {std::pair{TensorType::kF16, 64u},
                                        {TensorType::kQ8_0, 64u},
                                        {TensorType::kQ8_0, 16u},
                                        {TensorType::kQ8_0, 8u}}) {
    const Cache cache(type, 60, head_size);
    const std::vector<float> q = RandomValues(kQueries * head_size, 1, 3);
    std::vector<float> scratch;
    for (const size_t count : {size_t{3}, kQueries}) {
      std::vector<float> together(count * head_size);
      std::vector<AttentionQuery> queries;
      for (size_t i = 0; i < count; ++i) {
        queries.push_back({.q = q.data() + i * head_size, .out = together.data() + i * head_size, .visible = 38 + i});
      }
      kernels_.attend(cache.Task(queries, scratch));
      for (size_t i = 0; i < count; ++i) {
        std::vector<float> alone(head_size);
        const std::vector<AttentionQuery> single = {
            {.q = queries[i].q, .out = alone.data(), .visible = queries[i].visible}};
        kernels_.attend(cache.Task(single, scratch));
        EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<ptrdiff_t>(i * head_size)))
            << TensorTypeName(type) << " " << head_size << " " << i;
      }
    }
  }
}

TEST_P(LaneKernelsTest, SwiGluAgreesWithDouble) {
  for (const size_t size : {1u, 15u, 16u, 333u}) {
    const std::vector<float> before = RandomValues(size, 1, 20);
    const std::vector<float> up = RandomValues(size, 2, 2);
    std::vector<float> gate = before;
    kernels_.swiglu(gate.data(), up.data(), size);
    for (size_t i = 0; i < size; ++i) {
      const double x = static_cast<double>(before[i]);
      const double expected = x / (1 + std::exp(-x)) * static_cast<double>(up[i]);
      ASSERT_NEAR(static_cast<double>(gate[i]), expected, 1e-6 * std::fabs(expected) + 1e-9);
    }
  }
  std::vector<float> extremes = {200, -200, std::numeric_limits<float>::quiet_NaN()};
  kernels_.swiglu(extremes.data(), std::vector<float>(3, 1.0f).data(), 3);
  EXPECT_EQ(extremes[0], 200.0f);
  EXPECT_NEAR(extremes[1], 0.0f, 1e-30f);
  EXPECT_TRUE(std::isnan(extremes[2]));
}

TEST_P(LaneKernelsTest, NormalizeAgreesWithDouble) {
  for (const size_t size : {1u, 64u, 100u, 576u}) {
    const std::vector<float> x = RandomValues(size, 1, 3);
    const std::vector<float> weight = RandomValues(size, 2, 1);
    std::vector<float> y(size);
    kernels_.normalize(x.data(), weight.data(), 1e-5f, size, y.data());
    double squares = 0;
    for (const float value : x) squares += static_cast<double>(value) * static_cast<double>(value);
    for (size_t i = 0; i < size; ++i) {
      const double expected = static_cast<double>(x[i]) / std::sqrt(squares / static_cast<double>(size) + 1e-5) *
                              static_cast<double>(weight[i]);
      ASSERT_NEAR(static_cast<double>(y[i]), expected, 2e-6);
    }
  }
}

TEST_P(LaneKernelsTest, HalvesAreRoundedAsElsewhere) {
  std::vector<float> x = RandomValues(1000, 1, 70000);
  const std::vector<float> small = RandomValues(1000, 2, 1e-4);
  x.insert(x.end(), small.begin(), small.end());
  x.insert(x.end(), {0.0f, -0.0f, 1e-8f, 0x1p-14f, 1.0f + 0x1p-11f});
  std::vector<uint16_t> halves(x.size());
  kernels_.to_halves(x.data(), x.size(), halves.data());
  for (size_t i = 0; i < x.size(); ++i) {
    ASSERT_EQ(halves[i], FloatToHalf(std::clamp(x[i], -65504.0f, 65504.0f))) << x[i];
  }
}

TEST_P(LaneKernelsTest, LargestSeesEveryPlaceAndWhatIsNotFinite) {
  for (const size_t size : {1u, 5u, 16u, 47u, 1000u}) {
    for (size_t place = 0; place < size; place += size / 5 + 1) {
      std::vector<float> x = RandomValues(size, size, 3);
      for (float& value : x) value -= 10;
      x[place] = -2;
      EXPECT_EQ(kernels_.largest(x.data(), size), -2) << size << " " << place;
      for (const float bad : {std::numeric_limits<float>::infinity(), -std::numeric_limits<float>::infinity(),
                              std::numeric_limits<float>::quiet_NaN()}) {
        x[place] = bad;
        EXPECT_TRUE(std::isnan(kernels_.largest(x.data(), size))) << size << " " << place << " " << bad;
      }
    }
  }
}

TEST_P(LaneKernelsTest, ExponentialsOfEverySize) {
  for (const size_t size : {1u, 15u, 16u, 50u, 1000u}) {
    const std::vector<float> x = RandomValues(size, size, 30);
    std::vector<float> y(size);
    const float highest = kernels_.largest(x.data(), size);
    kernels_.exponentials(x.data(), size, highest, 1.3f, y.data());
    for (size_t i = 0; i < size; ++i) {
      const double expected = std::exp(static_cast<double>((x[i] - highest) * 1.3f));
      EXPECT_NEAR(y[i] / expected, 1, 1e-6) << x[i];
    }
    EXPECT_EQ(*std::max_element(y.begin(), y.end()), 1);
  }
  const float far[] = {0, -1000};
  float y[2];
  kernels_.exponentials(far, 2, 0, 1e30f, y);
  EXPECT_EQ(y[0], 1);
  EXPECT_GT(y[1], 0);
  EXPECT_LT(y[1], 2e-38f);
}

TEST_P(LaneKernelsTest, SumsWords) {
  std::vector<uint64_t> words(96);
  uint64_t sum = 0;
  for (size_t i = 0; i < words.size(); ++i) sum += words[i] = i * 0x123456789ABCDEFULL;
  EXPECT_EQ(kernels_.sum_words(reinterpret_cast<const uint8_t*>(words.data()), words.size() * 8), sum);
}

INSTANTIATE_TEST_SUITE_P(Sets, LaneKernelsTest, testing::ValuesIn(UsableInstructionSets()),
                         [](const auto& set) { return std::string(InstructionSetName(set.param)); });

}  // namespace
}  // namespace fleetune
