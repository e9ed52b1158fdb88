#include "lora/train/weight_rows.h"

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "inference/kernels/blocks.h"
#include "lora/train/bfloat.h"

namespace fleetune {
namespace {

std::vector<float> Random(size_t size) {
  SplitMix64 random(3);
  std::vector<float> values(size);
  for (float& value : values) value = static_cast<float>(4 * random.NextUnit() - 2);
  return values;
}

class WeightRowsTest : public ::testing::TestWithParam<TensorType> {};

TEST_P(WeightRowsTest, AreWhatDequantizeGives) {
  const TensorType type = GetParam();
  for (const size_t size : {0u, 32u, 288u, 4096u}) {
    const std::vector<float> values = Random(size);
    std::vector<uint8_t> blocks(size / BlockElements(type) * BlockBytes(type) + 1);
    const std::span<uint8_t> unaligned(blocks.data() + 1, blocks.size() - 1);
    Quantize(type, values, unaligned);
    std::vector<float> expected(size), floats(size);
    std::vector<uint16_t> bfloats(size);
    Dequantize(type, unaligned, expected);
    ReadWeightRows(type, unaligned, std::span(floats));
    ReadWeightRows(type, unaligned, std::span(bfloats));
    EXPECT_EQ(floats, expected);
    for (size_t i = 0; i < size; ++i) EXPECT_EQ(bfloats[i], FloatToBfloat(expected[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, WeightRowsTest,
                         ::testing::Values(TensorType::kF32, TensorType::kF16, TensorType::kBF16, TensorType::kQ4_0,
                                           TensorType::kQ5_0, TensorType::kQ8_0),
                         [](const auto& type) { return std::string(TensorTypeName(type.param)); });

TEST(BfloatTest, RoundsToNearestEvenAndKeepsInfinity) {
  const std::vector<float> values = {1.0f, 1.00390625f, 1.01171875f, -3.14159f, INFINITY, 0.0f, 1e-40f};
  std::vector<uint16_t> bfloats(values.size());
  std::vector<float> back(values.size());
  ToBfloats(values, bfloats);
  FromBfloats(bfloats, back);
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(bfloats[i], FloatToBfloat(values[i])) << i;
  EXPECT_EQ(back[1], 1.0f);       // a tie, to even
  EXPECT_EQ(back[2], 1.015625f);  // a tie, to even
  EXPECT_EQ(back[4], INFINITY);
}

}  // namespace
}  // namespace fleetune
