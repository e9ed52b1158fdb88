#include "inference/kernels/row_norms.h"

#include <cmath>
#include <vector>

#include "base/bytes.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

std::vector<float> Random(size_t size, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(random.NextUnit() - 0.5);
  return values;
}

// In double, row by row.
std::vector<double> Expected(const WeightMatrix& w, const LowRankSum& added) {
  std::vector<float> values(w.rows * w.columns);
  Dequantize(w.type, w.data, values);
  std::vector<double> norms;
  for (size_t r = 0; r < w.rows; ++r) {
    double squares = 0;
    for (size_t c = 0; c < w.columns; ++c) {
      auto value = static_cast<double>(values[r * w.columns + c]);
      for (size_t j = 0; j < added.a.size() / w.columns; ++j) {
        value += static_cast<double>(added.scale) * static_cast<double>(added.b[j * w.rows + r]) *
                 static_cast<double>(added.a[j * w.columns + c]);
      }
      squares += value * value;
    }
    norms.push_back(std::sqrt(squares));
  }
  return norms;
}

TEST(RowNormsTest, OfMatricesWithAndWithoutALowRankSum) {
  constexpr size_t kRows = 150, kColumns = 96, kRank = 3;  // more rows than one part has, and a rest
  for (const TensorType type : {TensorType::kF32, TensorType::kQ8_0, TensorType::kQ4_0}) {
    const std::vector<float> values = Random(kRows * kColumns, 1);
    Bytes blocks(values.size() / BlockElements(type) * BlockBytes(type));
    Quantize(type, values, blocks);
    const WeightMatrix w = {.type = type, .data = blocks, .rows = kRows, .columns = kColumns};
    const std::vector<float> a = Random(kRank * kColumns, 2), b = Random(kRank * kRows, 3);
    for (const LowRankSum& added : {LowRankSum{}, LowRankSum{.a = a, .b = b, .scale = 2.5f}}) {
      const std::vector<double> expected = Expected(w, added);
      std::vector<float> norms(kRows);
      RowNorms(w, added, {}, norms);
      for (size_t r = 0; r < kRows; ++r) EXPECT_NEAR(norms[r], expected[r], 2e-6 * expected[r]) << r;
      Workers workers(3);
      std::vector<float> shared(kRows);
      RowNorms(w, added, {.workers = &workers}, shared);
      EXPECT_EQ(shared, norms);
    }
  }
}

// Columns that are no multiple of the partial sums; a row of nothing.
TEST(RowNormsTest, OfShortRows) {
  const std::vector<float> values = {3, 4, 0, 0, 0, 0};
  const WeightMatrix w = {.type = TensorType::kF32,
                          .data = {reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)},
                          .rows = 2,
                          .columns = 3};
  std::vector<float> norms(2);
  RowNorms(w, {}, {}, norms);
  EXPECT_THAT(norms, testing::ElementsAre(5, 0));
  // A sum that takes the first row away: -1 * (3, 4, 0).
  const std::vector<float> a = {3, 4, 0}, b = {1, 1};
  RowNorms(w, {.a = a, .b = b, .scale = -1}, {}, norms);
  EXPECT_THAT(norms, testing::ElementsAre(0, 5));
}

}  // namespace
}  // namespace fleetune
