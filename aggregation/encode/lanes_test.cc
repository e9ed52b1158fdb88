#include "aggregation/encode/lanes.h"

#include <algorithm>
#include <vector>

#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::ElementsAre;
using testing::ElementsAreArray;
using testing::IsEmpty;

// Bits above the lane are set too.
RingVector AnyElements(size_t size, uint64_t seed) {
  SplitMix64 random(seed);
  RingVector ring(size);
  for (uint32_t& element : ring) element = static_cast<uint32_t>(random.Next());
  return ring;
}

RingVector Cut(RingVector ring, LaneBits lane) {
  for (uint32_t& element : ring) element &= LaneMask(lane);
  return ring;
}

TEST(LaneBitsTest, ComeFromTheirNumberOnly) {
  for (const LaneBits lane : kAllLaneBits) EXPECT_EQ(*LaneFromBits(BitsOf(lane)), lane);
  for (const uint32_t bad : {0u, 8u, 15u, 17u, 20u, 31u, 33u, 64u, 16u + 256u}) {
    EXPECT_THAT(LaneFromBits(bad), HasStatus(StatusCode::kInvalidArgument, "lane: expected 16, 24 or 32"));
  }
}

TEST(LaneBitsTest, SignIsTheHighestBitOfTheLane) {
  EXPECT_EQ(SignedElement(0x7fff, LaneBits::k16), 32767);
  EXPECT_EQ(SignedElement(0x8000, LaneBits::k16), -32768);
  EXPECT_EQ(SignedElement(0xabcdffff, LaneBits::k16), -1);
  EXPECT_EQ(SignedElement(0x007fffff, LaneBits::k24), 8388607);
  EXPECT_EQ(SignedElement(0xff800000, LaneBits::k24), -8388608);
  EXPECT_EQ(SignedElement(0x80000000, LaneBits::k32), INT32_MIN);
  EXPECT_EQ(SignedElement(0xffffffff, LaneBits::k32), -1);
}

TEST(PackLanesTest, BytesAreLittleEndianWithoutGaps) {
  const RingVector ring = {1, 0x04030201, 0xffffffff, 0x80, 0xa0b0c0d0};
  EXPECT_THAT(PackLanes(ring, LaneBits::k16), ElementsAre(1, 0, 1, 2, 255, 255, 0x80, 0, 0xd0, 0xc0));
  EXPECT_THAT(PackLanes(ring, LaneBits::k24),
              ElementsAre(1, 0, 0, 1, 2, 3, 255, 255, 255, 0x80, 0, 0, 0xd0, 0xc0, 0xb0));
  EXPECT_THAT(PackLanes(ring, LaneBits::k32),
              ElementsAre(1, 0, 0, 0, 1, 2, 3, 4, 255, 255, 255, 255, 0x80, 0, 0, 0, 0xd0, 0xc0, 0xb0, 0xa0));
}

TEST(PackLanesTest, ComesBackAtEveryLength) {
  for (const LaneBits lane : kAllLaneBits) {
    for (size_t size = 0; size < 70; ++size) {
      const RingVector ring = AnyElements(size, size);
      const std::vector<uint8_t> packed = PackLanes(ring, lane);
      ASSERT_EQ(packed.size(), size * LaneBytes(lane));
      const auto back = UnpackLanes(packed, lane, size);
      ASSERT_THAT(back, IsOk());
      ASSERT_THAT(*back, ElementsAreArray(Cut(ring, lane)));
    }
  }
}

TEST(UnpackLanesTest, RefusesEveryOtherSize) {
  const std::vector<uint8_t> bytes(40);
  for (const LaneBits lane : kAllLaneBits) {
    for (size_t size = 0; size <= bytes.size(); ++size) {
      const auto ring = UnpackLanes(std::span(bytes).first(size), lane, 5);
      if (size == 5 * LaneBytes(lane)) {
        EXPECT_THAT(ring, IsOk());
      } else {
        EXPECT_THAT(ring, HasStatus(StatusCode::kDataLoss, "expected 5 ring elements"));
      }
    }
    // The product with the lane's bytes would wrap around to 0.
    for (const uint64_t huge : {UINT64_MAX, uint64_t{1} << 63, uint64_t{1} << 62}) {
      EXPECT_THAT(UnpackLanes({}, lane, huge), HasStatus(StatusCode::kDataLoss, ""));
    }
    EXPECT_THAT(*UnpackLanes({}, lane, 0), IsEmpty());
  }
}

// Property: adding packed bytes is unpacking and adding, at every length and at every alignment of the bytes.
TEST(AddPackedToSumTest, IsUnpackingAndAdding) {
  for (const LaneBits lane : kAllLaneBits) {
    for (size_t size = 0; size < 70; ++size) {
      std::vector<uint8_t> bytes(size % 7);
      const std::vector<uint8_t> packed = PackLanes(AnyElements(size, size), lane);
      bytes.insert(bytes.end(), packed.begin(), packed.end());
      const RingVector before = AnyElements(size, size + 100);
      RingVector expected = before;
      AddToSum(*UnpackLanes(packed, lane, size), expected);
      RingVector sum = before;
      ASSERT_THAT(AddPackedToSum(std::span(bytes).subspan(size % 7), lane, sum), IsOk());
      ASSERT_THAT(Cut(sum, lane), ElementsAreArray(Cut(expected, lane)));
      if (lane != LaneBits::k16) continue;
      std::vector<uint16_t> narrow(size);
      std::transform(before.begin(), before.end(), narrow.begin(), [](uint32_t e) { return static_cast<uint16_t>(e); });
      ASSERT_THAT(AddPackedToSum(packed, narrow), IsOk());
      ASSERT_THAT(Widen(narrow), ElementsAreArray(Cut(expected, lane)));
    }
  }
}

TEST(AddPackedToSumTest, ChunksAddUpToTheWhole) {
  for (const LaneBits lane : kAllLaneBits) {
    const RingVector ring = AnyElements(1000, 4);
    const std::vector<uint8_t> packed = PackLanes(ring, lane);
    RingVector sum(1000);
    for (size_t begin = 0; begin < 1000; begin += 300) {
      const size_t size = std::min<size_t>(300, 1000 - begin);
      const auto chunk = std::span(packed).subspan(begin * LaneBytes(lane), size * LaneBytes(lane));
      ASSERT_THAT(AddPackedToSum(chunk, lane, std::span(sum).subspan(begin, size)), IsOk());
    }
    EXPECT_THAT(Cut(sum, lane), ElementsAreArray(Cut(ring, lane)));
  }
}

TEST(AddPackedToSumTest, RefusesEveryOtherSizeAndLeavesTheSum) {
  const std::vector<uint8_t> bytes(40, 1);
  for (const LaneBits lane : kAllLaneBits) {
    for (size_t size = 0; size <= bytes.size(); ++size) {
      if (size == 5 * LaneBytes(lane)) continue;
      RingVector sum(5, 7);
      EXPECT_THAT(AddPackedToSum(std::span(bytes).first(size), lane, sum), HasStatus(StatusCode::kDataLoss, "5 ring"));
      EXPECT_THAT(sum, Each(7u));
    }
  }
  std::vector<uint16_t> sum(5, 7);
  for (const size_t size : {0u, 9u, 11u, 20u}) {
    EXPECT_THAT(AddPackedToSum(std::span(bytes).first(size), sum), HasStatus(StatusCode::kDataLoss, "5 ring"));
  }
  EXPECT_THAT(sum, Each(7));
}

TEST(AddToSumTest, WrapsAround) {
  RingVector sum = {1, 0xffffffff};
  AddToSum(RingVector{2, 2}, sum);
  EXPECT_THAT(sum, ElementsAre(3u, 1u));
}

TEST(AddToSumDeathTest, RefusesOtherSizes) {
  RingVector sum(2);
  EXPECT_DEATH(AddToSum(RingVector(3), sum), "input.size");
}

}  // namespace
}  // namespace fleetune
