#include "inference/kernels/super_blocks.h"

#include <cmath>
#include <cstring>

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

void SetHalf(Bytes& block, size_t at, float value) {
  const uint16_t half = FloatToHalf(value);
  std::memcpy(block.data() + at, &half, sizeof(half));
}

// The format's description of a Q4_K block, group by group, in double.
std::vector<double> Q4KReference(const Bytes& block, double d, double dmin) {
  const uint8_t* s = block.data() + 4;
  std::vector<double> values;
  for (size_t j = 0; j < 8; ++j) {
    const int scale = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    const int min = j < 4 ? s[j + 4] & 63 : (s[j + 4] >> 4) | (s[j] >> 6) << 4;
    for (size_t i = 0; i < 32; ++i) {
      const uint8_t byte = block[16 + j / 2 * 32 + i];
      values.push_back(d * scale * (j % 2 == 0 ? byte & 15 : byte >> 4) - dmin * min);
    }
  }
  return values;
}

// The format's description of a Q6_K block: of each half, four runs of 32.
std::vector<double> Q6KReference(const Bytes& block, double d) {
  std::vector<double> values(256);
  for (size_t half = 0; half < 2; ++half) {
    const uint8_t* ql = block.data() + half * 64;
    const uint8_t* qh = block.data() + 128 + half * 32;
    const auto* scales = reinterpret_cast<const int8_t*>(block.data() + 192 + half * 8);
    for (size_t l = 0; l < 32; ++l) {
      const int codes[4] = {(ql[l] & 15) | (qh[l] & 3) << 4, (ql[l + 32] & 15) | (qh[l] >> 2 & 3) << 4,
                            ql[l] >> 4 | (qh[l] >> 4 & 3) << 4, ql[l + 32] >> 4 | (qh[l] >> 6 & 3) << 4};
      for (size_t run = 0; run < 4; ++run) {
        values[half * 128 + run * 32 + l] = d * scales[run * 2 + l / 16] * (codes[run] - 32);
      }
    }
  }
  return values;
}

TEST(SuperBlocks, AreReadAsTheFormatSays) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Bytes q4(kQ4KBytes);
    Bytes q6(kQ6KBytes);
    SplitMix64 random(seed);
    random.Fill(q4);
    random.Fill(q6);
    SetHalf(q4, 0, 0.25f);
    SetHalf(q4, 2, -0.5f);
    SetHalf(q6, 208, -0.125f);
    std::vector<float> values(256);
    Dequantize(TensorType::kQ4_K, q4, values);
    const std::vector<double> expected4 = Q4KReference(q4, 0.25, -0.5);
    for (size_t i = 0; i < 256; ++i) ASSERT_EQ(static_cast<double>(values[i]), expected4[i]) << i;
    Dequantize(TensorType::kQ6_K, q6, values);
    const std::vector<double> expected6 = Q6KReference(q6, -0.125);
    for (size_t i = 0; i < 256; ++i) ASSERT_EQ(static_cast<double>(values[i]), expected6[i]) << i;
  }
}

// Root of the mean square error relative to that of the values.
double QuantizingError(TensorType type, const std::vector<float>& values) {
  Bytes blocks(values.size() / 256 * BlockBytes(type));
  Quantize(type, values, blocks);
  std::vector<float> back(values.size());
  Dequantize(type, blocks, back);
  double error = 0;
  double power = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    error += std::pow(static_cast<double>(back[i] - values[i]), 2);
    power += std::pow(static_cast<double>(values[i]), 2);
  }
  return std::sqrt(error / power);
}

TEST(SuperBlocks, QuantizingLosesLittle) {
  // A uniform value in 15 or 63 steps of the whole range is off by a twelfth of a step's square.
  EXPECT_LT(QuantizingError(TensorType::kQ4_K, RandomValues(2560, 1)), 0.08);
  EXPECT_LT(QuantizingError(TensorType::kQ6_K, RandomValues(2560, 1)), 0.025);
}

TEST(SuperBlocks, ZerosAndTheSmallestValuesStayFinite) {
  for (const TensorType type : {TensorType::kQ4_K, TensorType::kQ6_K}) {
    for (const float value : {0.0f, 1e-44f, -1e-39f, 3e-8f}) {
      Bytes block(BlockBytes(type));
      Quantize(type, std::vector<float>(256, value), block);
      std::vector<float> back(256);
      Dequantize(type, block, back);
      for (const float element : back) EXPECT_NEAR(element, value, 4e-6f) << TensorTypeName(type);
    }
  }
}

TEST(SuperBlocks, WhatWasReadIsWrittenAlike) {
  // Values that lie on the grid of a block come back as they were.
  std::vector<float> values(256);
  for (size_t i = 0; i < 256; ++i) values[i] = static_cast<float>(i % 16) * 0.5f;
  EXPECT_LT(QuantizingError(TensorType::kQ4_K, values), 1e-3);
  for (size_t i = 0; i < 256; ++i) values[i] = static_cast<float>(static_cast<int>(i % 16) * 4 - 32) * 0.5f;
  EXPECT_LT(QuantizingError(TensorType::kQ6_K, values), 1e-3);
}

}  // namespace
}  // namespace fleetune
