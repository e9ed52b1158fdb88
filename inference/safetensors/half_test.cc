#include "inference/safetensors/half.h"

#include <bit>
#include <cmath>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(HalfTest, KnownValues) {
  EXPECT_EQ(FloatFromHalf(0x3c00), 1.0f);
  EXPECT_EQ(FloatFromHalf(0xc000), -2.0f);
  EXPECT_EQ(FloatFromHalf(0x7bff), 65504.0f);
  EXPECT_EQ(FloatFromHalf(0x0400), 0x1p-14f);         // smallest normal
  EXPECT_EQ(FloatFromHalf(0x03ff), 1023 * 0x1p-24f);  // largest subnormal
  EXPECT_EQ(FloatFromHalf(0x0001), 0x1p-24f);
  EXPECT_EQ(std::bit_cast<uint32_t>(FloatFromHalf(0x8000)), 0x80000000u);
  EXPECT_EQ(FloatFromHalf(0x7c00), INFINITY);
  EXPECT_EQ(FloatFromHalf(0xfc00), -INFINITY);
  EXPECT_TRUE(std::isnan(FloatFromHalf(0x7e00)));
}

TEST(HalfTest, GrowsWithItsBits) {
  for (uint16_t bits = 0; bits < 0x7c00; ++bits) {
    ASSERT_LT(FloatFromHalf(bits), FloatFromHalf(static_cast<uint16_t>(bits + 1)));
  }
}

TEST(Bfloat16Test, IsTheUpperHalf) {
  EXPECT_EQ(FloatFromBfloat16(0x3f80), 1.0f);
  EXPECT_EQ(FloatFromBfloat16(0xc040), -3.0f);
  EXPECT_EQ(FloatFromBfloat16(0x7f80), INFINITY);
}

}  // namespace
}  // namespace fleetune
