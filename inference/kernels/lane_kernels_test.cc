#include "inference/kernels/lane_kernels.h"

#include <algorithm>
#include <cmath>
#include <limits>
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
  Cache(size_t cached_tokens, size_t size) : tokens(cached_tokens), head_size(size) {
    const size_t blocks = (tokens + kCacheBlock - 1) / kCacheBlock;
    stride = head_size * kCacheBlock;
    keys.resize(blocks * stride);
    values.resize(blocks * stride);
    const std::vector<float> random = RandomValues(2 * tokens * head_size, 5, 3);
    for (size_t t = 0; t < tokens; ++t) {
      for (size_t i = 0; i < head_size; ++i) {
        const size_t block = t / kCacheBlock * stride;
        keys[block + i * kCacheBlock + t % kCacheBlock] = FloatToHalf(random[2 * (t * head_size + i)]);
        values[block + t % kCacheBlock * head_size + i] = FloatToHalf(random[2 * (t * head_size + i) + 1]);
      }
    }
  }
  double key(size_t t, size_t i) const {
    return static_cast<double>(
        HalfToFloat(keys[t / kCacheBlock * stride + i * kCacheBlock + t % kCacheBlock]));
  }
  double value(size_t t, size_t i) const {
    return static_cast<double>(HalfToFloat(values[t / kCacheBlock * stride + t % kCacheBlock * head_size + i]));
  }
  size_t tokens, head_size, stride;
  std::vector<uint16_t> keys, values;
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
  for (const size_t head_size : {3u, 8u, 20u, 64u}) {
    const Cache cache(83, head_size);
    const std::vector<float> q = RandomValues(5 * head_size, 1, 3);
    std::vector<float> out(5 * head_size);
    std::vector<AttentionQuery> queries;
    const size_t visible[] = {1, 16, 17, 64, 83};
    for (size_t i = 0; i < 5; ++i) {
      queries.push_back({.q = q.data() + i * head_size, .out = out.data() + i * head_size, .visible = visible[i]});
    }
    std::vector<float> scratch(AttentionScratch(head_size, 5));
    kernels_.attend({.queries = queries.data(), .count = 5, .head_size = head_size, .keys = cache.keys.data(),
                     .values = cache.values.data(), .stride = cache.stride, .scratch = scratch.data()});
    for (size_t i = 0; i < 5; ++i) {
      const std::vector<double> expected = Reference(cache, queries[i].q, visible[i]);
      for (size_t j = 0; j < head_size; ++j) {
        ASSERT_NEAR(static_cast<double>(out[i * head_size + j]), expected[j], 2e-5) << head_size << " " << i;
      }
    }
  }
}

// Few queries read keys and values where they lie, many from a copy.
TEST_P(LaneKernelsTest, AQueryIsTheSameAloneAndAmongOthers) {
  constexpr size_t kQueries = 20;
  const Cache cache(60, 64);
  const std::vector<float> q = RandomValues(kQueries * 64, 1, 3);
  std::vector<float> scratch(AttentionScratch(64, kQueries));
  for (const size_t count : {size_t{3}, kQueries}) {
    std::vector<float> together(count * 64);
    std::vector<AttentionQuery> queries;
    for (size_t i = 0; i < count; ++i) {
      queries.push_back({.q = q.data() + i * 64, .out = together.data() + i * 64, .visible = 38 + i});
    }
    AttentionTask task = {.queries = queries.data(), .count = count, .head_size = 64, .keys = cache.keys.data(),
                          .values = cache.values.data(), .stride = cache.stride, .scratch = scratch.data()};
    kernels_.attend(task);
    for (size_t i = 0; i < count; ++i) {
      std::vector<float> alone(64);
      AttentionQuery single = queries[i];
      single.out = alone.data();
      task.queries = &single;
      task.count = 1;
      kernels_.attend(task);
      EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + static_cast<ptrdiff_t>(i * 64))) << i;
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
