#include "inference/kernels/blocks.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/bytes.h"
#include "base/random.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

constexpr TensorType kComputed[] = {TensorType::kF32,  TensorType::kF16,  TensorType::kBF16,
                                    TensorType::kQ8_0, TensorType::kQ5_0, TensorType::kQ4_0};

std::vector<float> RandomValues(size_t count, uint64_t seed, double range = 2) {
  SplitMix64 random(seed);
  std::vector<float> values(count);
  for (float& value : values) value = static_cast<float>(range * (2 * random.NextUnit() - 1));
  return values;
}

Bytes Quantized(TensorType type, const std::vector<float>& values) {
  Bytes blocks(values.size() / BlockElements(type) * BlockBytes(type));
  Quantize(type, values, blocks);
  return blocks;
}

std::vector<float> Dequantized(TensorType type, std::span<const uint8_t> blocks) {
  std::vector<float> values(blocks.size() / BlockBytes(type) * BlockElements(type));
  Dequantize(type, blocks, values);
  return values;
}

// The slow, obvious reading of a half, in double.
double HalfReference(uint16_t half) {
  const int exponent = half >> 10 & 31;
  const double fraction = half & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

// The format's description of element `i`, in double.
double ElementReference(TensorType type, const Bytes& bytes, size_t i) {
  const uint8_t* block = bytes.data() + i / 32 * BlockBytes(type);
  const double scale = HalfReference(static_cast<uint16_t>(block[0] | block[1] << 8));
  const size_t j = i % 32;
  const auto nibble = [j](const uint8_t* q) { return j < 16 ? q[j] & 15 : q[j - 16] >> 4; };
  if (type == TensorType::kQ8_0) return scale * static_cast<int8_t>(block[2 + j]);
  if (type == TensorType::kQ4_0) return scale * (nibble(block + 2) - 8);
  const int fifth = block[2 + j / 8] >> (j % 8) & 1;
  return scale * ((nibble(block + 6) | fifth << 4) - 16);
}

TEST(Floats, EveryHalfIsReadAndWrittenExactly) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const uint16_t half = static_cast<uint16_t>(bits);
    const float value = HalfToFloat(half);
    if ((bits & 0x7C00) == 0x7C00) {
      EXPECT_EQ(std::isnan(value), (bits & 0x3FF) != 0);
      EXPECT_EQ(std::isinf(value), (bits & 0x3FF) == 0);
      if (std::isnan(value)) continue;
    } else {
      ASSERT_EQ(static_cast<double>(value), HalfReference(half)) << bits;
    }
    ASSERT_EQ(FloatToHalf(value), half);
  }
}

TEST(Floats, HalvesRoundToNearestEven) {
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f), 0x3C00);  // between 1 and its successor: to even
  EXPECT_EQ(FloatToHalf(1.0f + 3 * 0x1p-11f), 0x3C02);
  EXPECT_EQ(FloatToHalf(1.0f + 0x1p-11f + 0x1p-20f), 0x3C01);
  EXPECT_EQ(FloatToHalf(0x1p-25f), 0);  // half of the least subnormal: to even
  EXPECT_EQ(FloatToHalf(1.5f * 0x1p-25f), 1);
  EXPECT_EQ(FloatToHalf(65519.0f), 0x7BFF);
  EXPECT_EQ(FloatToHalf(65520.0f), 0x7C00);
  EXPECT_EQ(FloatToHalf(-1e9f), 0xFC00);
  EXPECT_EQ(FloatToHalf(std::numeric_limits<float>::quiet_NaN()) & 0x7E00, 0x7E00);
}

TEST(Floats, BfloatsRoundToNearestEven) {
  for (uint32_t bits = 0; bits <= 0xFFFF; ++bits) {
    const float value = BfloatToFloat(static_cast<uint16_t>(bits));
    if (std::isnan(value)) continue;
    ASSERT_EQ(FloatToBfloat(value), bits);
  }
  EXPECT_EQ(FloatToBfloat(std::bit_cast<float>(0x3F808000u)), 0x3F80);
  EXPECT_EQ(FloatToBfloat(std::bit_cast<float>(0x3F818000u)), 0x3F82);
  EXPECT_EQ(FloatToBfloat(std::bit_cast<float>(0x3F808001u)), 0x3F81);
  EXPECT_TRUE(std::isnan(BfloatToFloat(FloatToBfloat(std::bit_cast<float>(0x7F800001u)))));
}

TEST(Blocks, DequantizeReadsTheLayoutsOfTheFormat) {
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ5_0, TensorType::kQ4_0}) {
    Bytes blocks(7 * BlockBytes(type));
    SplitMix64(static_cast<uint64_t>(type)).Fill(blocks);
    for (size_t block = 0; block < 7; ++block) blocks[block * BlockBytes(type) + 1] &= 0xBF;  // finite scales
    const std::vector<float> values = Dequantized(type, blocks);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(static_cast<double>(values[i]), ElementReference(type, blocks, i))
          << TensorTypeName(type) << i;
    }
  }
}

TEST(Blocks, QuantizeIsWithinHalfAStep) {
  const std::vector<float> values = RandomValues(32 * 50, 3);
  const struct {
    TensorType type;
    float bound;  // of |error| relative to the block's largest magnitude
  } cases[] = {
      {TensorType::kF32, 0},
      {TensorType::kF16, 0x1p-11f},
      {TensorType::kBF16, 0x1p-8f},
      {TensorType::kQ8_0, 0.5f / 127 + 0x1p-11f},  // half a step, and the rounding of the scale to half
      // The end opposite to the largest value is cut off by a step.
      {TensorType::kQ5_0, 1.01f / 16},
      {TensorType::kQ4_0, 1.01f / 8}};
  for (const auto& [type, bound] : cases) {
    const std::vector<float> back = Dequantized(type, Quantized(type, values));
    for (size_t block = 0; block < values.size(); block += 32) {
      float largest = 0;
      for (size_t i = block; i < block + 32; ++i) largest = std::max(largest, std::fabs(values[i]));
      for (size_t i = block; i < block + 32; ++i) {
        ASSERT_LE(std::fabs(back[i] - values[i]), bound * largest) << TensorTypeName(type);
      }
    }
  }
}

TEST(Blocks, TheLargestValueOfABlockKeepsItsSign) {
  for (const TensorType type : {TensorType::kQ8_0, TensorType::kQ5_0, TensorType::kQ4_0}) {
    for (const float extreme : {1.0f, -1.0f}) {
      std::vector<float> values(32, 0.0f);
      values[17] = extreme;
      const std::vector<float> back = Dequantized(type, Quantized(type, values));
      EXPECT_NEAR(back[17], extreme, 1e-3) << TensorTypeName(type);
      EXPECT_EQ(back[16], 0.0f);
    }
  }
}

TEST(Blocks, ZerosAndTheSmallestValuesStayFinite) {
  for (const TensorType type : kComputed) {
    for (const float value : {0.0f, 1e-44f, -1e-39f}) {
      const std::vector<float> back = Dequantized(type, Quantized(type, std::vector<float>(32, value)));
      for (const float element : back) EXPECT_NEAR(element, 0.0f, 1e-38f) << TensorTypeName(type);
    }
  }
}

TEST(Blocks, BlocksMayLieAtAnyAddress) {
  const std::vector<float> values = RandomValues(64, 5);
  for (const TensorType type : kComputed) {
    const Bytes row = Quantized(type, values);
    Bytes shifted(row.size() + 1);
    std::copy(row.begin(), row.end(), shifted.begin() + 1);
    const std::span<const uint8_t> odd = std::span<const uint8_t>(shifted).subspan(1);
    EXPECT_EQ(Dequantized(type, odd), Dequantized(type, row));
  }
}

TEST(BlocksDeathTest, ChecksItsCaller) {
  std::vector<float> values(32);
  const Bytes short_block(33);
  EXPECT_DEATH(Dequantize(TensorType::kQ8_0, short_block, values), "bytes ==");
  EXPECT_DEATH(Dequantize(TensorType::kQ4_K, short_block, values), "BlockElements");
  EXPECT_DEATH(Dequantize(TensorType::kQ4_0, Bytes(18), std::span(values).first(31)), "BlockElements");
}

}  // namespace
}  // namespace fleetune
