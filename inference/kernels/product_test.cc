#include "inference/kernels/product.h"

#include <cmath>
#include <tuple>

#include "base/bytes.h"
#include "base/random.h"
#include "gtest/gtest.h"
#include "inference/kernels/blocks.h"

namespace fleetune {
namespace {

std::vector<float> RandomValues(size_t count, uint64_t seed) {
  SplitMix64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(2 * random.NextUnit() - 1);
  return values;
}

// A matrix with its own memory.
struct OwnedMatrix {
  OwnedMatrix(TensorType type, uint64_t rows, uint64_t columns)
      : data(rows * columns / BlockElements(type) * BlockBytes(type)),
        view{.type = type, .data = data, .rows = rows, .columns = columns} {
    Quantize(type, RandomValues(rows * columns, rows + columns), data);
  }
  Bytes data;
  WeightMatrix view;
};

TEST(MultiplyByRows, AgreesWithDouble) {
  // Rows and columns that do and do not divide into tiles and lanes, as the feed-forward of 172 does not.
  const std::tuple<TensorType, uint64_t, uint64_t> shapes[] = {
      {TensorType::kF32, 5, 3},    {TensorType::kF32, 4, 16},   {TensorType::kF16, 64, 172},
      {TensorType::kBF16, 7, 33},  {TensorType::kQ8_0, 10, 96}, {TensorType::kQ4_0, 1, 32},
      {TensorType::kQ5_0, 3, 1056}};
  for (const auto& [type, rows, columns] : shapes) {
    const OwnedMatrix w(type, rows, columns);
    std::vector<float> values(rows * columns);
    Dequantize(type, w.data, values);
    for (const size_t vectors : {1u, 3u, 4u, 9u}) {
      const std::vector<float> x = RandomValues(vectors * columns, vectors);
      std::vector<float> y(vectors * rows);
      MultiplyByRows(w.view, x, y);
      for (size_t t = 0; t < vectors; ++t) {
        for (size_t r = 0; r < rows; ++r) {
          double expected = 0;
          double magnitude = 0;
          for (size_t c = 0; c < columns; ++c) {
            const double product =
                static_cast<double>(values[r * columns + c]) * static_cast<double>(x[t * columns + c]);
            expected += product;
            magnitude += std::fabs(product);
          }
          ASSERT_NEAR(static_cast<double>(y[t * rows + r]), expected,
                      static_cast<double>(columns) * 0x1p-24 * magnitude);
        }
      }
    }
  }
}

TEST(MultiplyByRows, GivesTheSameBitsForEveryNumberOfVectors) {
  const OwnedMatrix w(TensorType::kQ8_0, 9, 128);
  const std::vector<float> x = RandomValues(7 * 128, 1);
  std::vector<float> together(7 * 9);
  MultiplyByRows(w.view, x, together);
  std::vector<float> single(9);
  for (size_t t = 0; t < 7; ++t) {
    MultiplyByRows(w.view, std::span(x).subspan(t * 128, 128), single);
    for (size_t r = 0; r < 9; ++r) EXPECT_EQ(single[r], together[t * 9 + r]);
  }
}

TEST(MultiplyByRows, TakesNoVectors) {
  const OwnedMatrix w(TensorType::kF32, 2, 2);
  MultiplyByRows(w.view, {}, {});
}

TEST(MultiplyByRowsDeathTest, ChecksSizes) {
  const OwnedMatrix w(TensorType::kF32, 2, 4);
  std::vector<float> y(2);
  EXPECT_DEATH(MultiplyByRows(w.view, std::vector<float>(5), y), "columns");
  EXPECT_DEATH(MultiplyByRows(w.view, std::vector<float>(8), y), "y.size");
}

}  // namespace
}  // namespace fleetune
