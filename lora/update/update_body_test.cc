#include "lora/update/update_body.h"

#include <zstd.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::Each;

AdapterSpec OneModule(uint32_t rank, uint32_t out) {
  BaseSizes base{.layers = 1};
  base.projections[0] = {.in = 1, .out = out};
  return *AdapterSpec::Create({.rank = rank, .alpha = 1, .targets = {Projection::kQ}}, base);
}

Bytes Compressed(const Bytes& plain) {
  Bytes packed(ZSTD_compressBound(plain.size()));
  packed.resize(ZSTD_compress(packed.data(), packed.size(), plain.data(), plain.size(), 19));
  return packed;
}

std::vector<float> DecodedRow(std::vector<float> row) {
  const AdapterSpec spec = OneModule(1, static_cast<uint32_t>(row.size()));
  const QuantizedStep quantized = QuantizeStep(spec, Factors::kB, row);
  const auto read = ReadQuantizedStep(spec, Factors::kB, quantized.body);
  EXPECT_THAT(read, IsOk());
  EXPECT_EQ(*read, quantized.decoded);
  for (size_t i = 0; i < row.size(); ++i) {  // the zeros' signs, too
    EXPECT_EQ(std::signbit((*read)[i]), std::signbit(quantized.decoded[i]));
  }
  return quantized.decoded;
}

TEST(QuantizeStepTest, DecodesWithinHalfAScaleOfItsRow) {
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SplitMix64 random(seed);
    const auto rank = static_cast<uint32_t>(1 + random.Below(4));
    const auto out = static_cast<uint32_t>(1 + random.Below(60));
    const AdapterSpec spec = OneModule(rank, out);
    std::vector<float> step(spec.b_size());
    for (size_t i = 0; i < step.size(); ++i) {
      // Rows of very different size.
      step[i] = static_cast<float>(std::ldexp(2 * random.NextUnit() - 1, static_cast<int>(i / out * 20) - 40));
    }
    const QuantizedStep quantized = QuantizeStep(spec, Factors::kB, step);
    const auto read = ReadQuantizedStep(spec, Factors::kB, quantized.body);
    ASSERT_THAT(read, IsOk());
    ASSERT_EQ(*read, quantized.decoded);
    for (uint32_t row = 0; row < rank; ++row) {
      float largest = 0;
      for (uint32_t i = 0; i < out; ++i) largest = std::max(largest, std::abs(step[row * out + i]));
      // A bfloat16 is at most 2^-7 above what it rounds up.
      const float half_scale = largest / 127 * (1 + 0x1p-7f) / 2 * (1 + 0x1p-20f);
      for (uint32_t i = row * out; i < (row + 1) * out; ++i) {
        ASSERT_LE(std::abs(step[i] - quantized.decoded[i]), half_scale) << seed << " " << i;
      }
    }
  }
}

TEST(QuantizeStepTest, ZeroAndTinyRowsDecodeToPlusZero) {
  EXPECT_THAT(DecodedRow({0, -0.0f, 0}), Each(std::bit_cast<float>(0u)));
  EXPECT_THAT(DecodedRow({std::numeric_limits<float>::denorm_min(), -0x1p-120f}), Each(0.0f));
  EXPECT_THAT(DecodedRow({-0x1p-94f, 0x1p-95f}), Each(0.0f));
  EXPECT_NE(DecodedRow({0x1p-92f})[0], 0.0f);
  // Rounded to zero from below it is +0, as the decoder has it.
  EXPECT_FALSE(std::signbit(DecodedRow({1, -0.001f})[1]));
}

TEST(QuantizeStepTest, LargestValuesKeepTheirSign) {
  const std::vector<float> decoded = DecodedRow({1e38f, -1e38f, 5e37f});
  EXPECT_NEAR(decoded[0] / 1e38f, 1, 0.005);
  EXPECT_EQ(decoded[1], -decoded[0]);
}

TEST(ReadQuantizedStepTest, RefusesScalesThatAreNotAllowed) {
  const AdapterSpec spec = OneModule(1, 1);
  const auto with_scale = [&](float scale) {
    const uint32_t bits = std::bit_cast<uint32_t>(scale);
    return ReadQuantizedStep(
        spec, Factors::kB, Compressed({static_cast<uint8_t>(bits >> 16), static_cast<uint8_t>(bits >> 24), 1}));
  };
  EXPECT_THAT(*with_scale(0x1p-100f), Each(0x1p-100f));
  EXPECT_THAT(*with_scale(0), Each(0.0f));
  for (const float bad : {0x1.fep-101f, -0.0f, -1.0f, std::numeric_limits<float>::infinity(),
                          std::numeric_limits<float>::quiet_NaN()}) {
    EXPECT_THAT(with_scale(bad), HasStatus(StatusCode::kDataLoss, "scale of row 0"));
  }
}

TEST(ReadQuantizedStepTest, RefusesOtherSizes) {
  const AdapterSpec spec = OneModule(2, 3);  // 2 * 2 + 6 bytes
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kB, Compressed(Bytes(10))), IsOk());
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kB, Compressed(Bytes(9))), HasStatus(StatusCode::kDataLoss, "expected 10"));
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kB, Compressed(Bytes(11))),
              HasStatus(StatusCode::kResourceExhausted, "more than the 10 bytes"));
}

TEST(ReadQuantizedStepTest, ABombIsRefused) {
  const Bytes bomb = Compressed(Bytes(64 << 20));
  EXPECT_LT(bomb.size(), 10'000u);
  EXPECT_THAT(ReadQuantizedStep(OneModule(2, 3), Factors::kB, bomb), HasStatus(StatusCode::kResourceExhausted, "more"));
  EXPECT_THAT(ReadSnapshot(OneModule(2, 3), Factors::kB, bomb), HasStatus(StatusCode::kResourceExhausted, "more"));
}

TEST(ReadQuantizedStepTest, EveryTruncationIsRefused) {
  const AdapterSpec spec = OneModule(4, 30);
  std::vector<float> step(spec.b_size());
  for (size_t i = 0; i < step.size(); ++i) step[i] = static_cast<float>(i * i % 97);
  const Bytes rows = QuantizeStep(spec, Factors::kB, step).body;
  for (size_t size = 0; size < rows.size(); ++size) {
    EXPECT_THAT(ReadQuantizedStep(spec, Factors::kB, std::span(rows).first(size)), HasStatus(StatusCode::kDataLoss, "body"));
  }
  const Bytes whole = PackSnapshot(step);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(ReadSnapshot(spec, Factors::kB, std::span(whole).first(size)), HasStatus(StatusCode::kDataLoss, "body"));
  }
  EXPECT_THAT(ReadSnapshot(spec, Factors::kB, Bytes(100, 0xee)), HasStatus(StatusCode::kDataLoss, "does not unpack"));
}

// A row of A has `in` floats, a row of B `out`: each has a scale of its own, and B's come after A's.
TEST(QuantizeStepTest, RowsOfBothFactorsAreTheirOwn) {
  BaseSizes base{.layers = 2};
  base.projections[0] = {.in = 3, .out = 5};
  base.projections[1] = {.in = 3, .out = 2};
  const AdapterSpec spec = *AdapterSpec::Create({.rank = 2, .alpha = 1, .targets = {Projection::kQ, Projection::kK}}, base);
  SplitMix64 random(3);
  const auto floats = [&](uint64_t size, double scale) {
    std::vector<float> values(size);
    for (float& value : values) value = static_cast<float>((random.NextUnit() - 0.5) * scale);
    return values;
  };
  const std::vector<float> a = floats(spec.a_size(), 1000);
  const std::vector<float> b = floats(spec.b_size(), 1e-3);
  std::vector<float> both = a;
  both.insert(both.end(), b.begin(), b.end());
  std::vector<float> apart = QuantizeStep(spec, Factors::kA, a).decoded;
  const QuantizedStep of_b = QuantizeStep(spec, Factors::kB, b);
  apart.insert(apart.end(), of_b.decoded.begin(), of_b.decoded.end());
  const QuantizedStep together = QuantizeStep(spec, Factors::kBoth, both);
  EXPECT_EQ(together.decoded, apart);
  const auto read = ReadQuantizedStep(spec, Factors::kBoth, together.body);
  ASSERT_THAT(read, IsOk());
  EXPECT_EQ(*read, apart);
  for (size_t i = 0; i < both.size(); ++i) EXPECT_NEAR(both[i], apart[i], i < a.size() ? 3 : 3e-6) << i;
  // 8 rows of either factor: 2 * 8 bytes of scales, and a byte a parameter.
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kA, Compressed(Bytes(16 + 24))), IsOk());
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kB, Compressed(Bytes(16 + 28))), IsOk());
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kBoth, Compressed(Bytes(32 + 52))), IsOk());
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kA, of_b.body), HasStatus(StatusCode::kResourceExhausted, "more"));
  EXPECT_THAT(ReadQuantizedStep(spec, Factors::kBoth, of_b.body), HasStatus(StatusCode::kDataLoss, "expected 84"));
  for (size_t size = 0; size < together.body.size(); ++size) {
    EXPECT_THAT(ReadQuantizedStep(spec, Factors::kBoth, std::span(together.body).first(size)),
                HasStatus(StatusCode::kDataLoss, "body"));
  }
}

TEST(SnapshotTest, KeepsEveryBit) {
  const AdapterSpec spec = OneModule(1, 1000);
  SplitMix64 random(1);
  std::vector<float> b(spec.b_size());
  for (float& value : b) value = std::bit_cast<float>(static_cast<uint32_t>(random.Next()) & 0xff7fffffu);
  b[0] = -0.0f;
  const auto read = ReadSnapshot(spec, Factors::kB, PackSnapshot(b));
  ASSERT_THAT(read, IsOk());
  EXPECT_TRUE(std::ranges::equal(*read, b, [](float x, float y) {
    return std::bit_cast<uint32_t>(x) == std::bit_cast<uint32_t>(y);
  }));
}

}  // namespace
}  // namespace fleetune
