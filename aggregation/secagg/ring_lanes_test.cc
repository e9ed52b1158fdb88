#include "aggregation/secagg/ring_lanes.h"

#include <vector>

#include "aggregation/secagg/session_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

class RingLanesTest : public testing::TestWithParam<uint8_t> {
 protected:
  uint8_t lane() const { return GetParam(); }
  uint32_t Mod(uint32_t value) const { return lane() == 32 ? value : value & ((1u << lane()) - 1); }
  RingVector Random(uint64_t seed, size_t size) const {
    SplitMix64 random(seed);
    RingVector values(size);
    for (uint32_t& value : values) value = static_cast<uint32_t>(random.Next());
    return values;
  }
};

TEST_P(RingLanesTest, ZerosAtFirst) {
  const RingLanes lanes(lane(), 5);
  EXPECT_EQ(lanes.dimension(), 5u);
  EXPECT_EQ(lanes.packed_bytes(), 5u * lane() / 8);
  EXPECT_EQ(lanes.Values(), RingVector(5));
  EXPECT_EQ(lanes.Pack(), Bytes(lanes.packed_bytes()));
}

TEST_P(RingLanesTest, ValuesComeBackModuloTheLane) {
  const RingVector values = Random(1, 99);
  const RingLanes lanes = RingLanes::FromValues(lane(), values);
  const RingVector back = lanes.Values();
  ASSERT_EQ(back.size(), values.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_EQ(back[i], Mod(values[i]));
}

TEST_P(RingLanesTest, PackedIsLittleEndian) {
  const RingVector values{0x04030201};
  const Bytes all{1, 2, 3, 4};
  EXPECT_EQ(RingLanes::FromValues(lane(), values).Pack(), Bytes(all.begin(), all.begin() + lane() / 8));
}

TEST_P(RingLanesTest, UnpackGivesItBackAndNoOtherLength) {
  const RingLanes lanes = RingLanes::FromValues(lane(), Random(2, 7));
  const Bytes packed = lanes.Pack();
  const absl::StatusOr<RingLanes> again = RingLanes::Unpack(lane(), 7, packed);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->Values(), lanes.Values());
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_THAT(RingLanes::Unpack(lane(), 7, std::span(packed).first(size)),
                HasStatus(absl::StatusCode::kDataLoss, ""));
  }
  EXPECT_THAT(RingLanes::Unpack(lane(), 6, packed), HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_THAT(RingLanes::Unpack(lane(), 8, packed), HasStatus(absl::StatusCode::kDataLoss, ""));
}

TEST_P(RingLanesTest, AddIsModuloTheLane) {
  const RingVector one = Random(3, 33);
  const RingVector other = Random(4, 33);
  RingLanes sum = RingLanes::FromValues(lane(), one);
  EXPECT_THAT(sum.Add(RingLanes::FromValues(lane(), other).Pack()), IsOk());
  const RingVector values = sum.Values();
  for (size_t i = 0; i < one.size(); ++i) EXPECT_EQ(values[i], Mod(one[i] + other[i]));
}

TEST_P(RingLanesTest, NothingOfAnInputOfAnotherSizeIsAdded) {
  RingLanes sum = RingLanes::FromValues(lane(), Random(5, 4));
  const RingVector before = sum.Values();
  EXPECT_THAT(sum.Add(Bytes(sum.packed_bytes() - 1, 1)), HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_THAT(sum.Add(Bytes(sum.packed_bytes() + 1, 1)), HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_EQ(sum.Values(), before);
}

// What devices do, and then the coordinator: masks go on each input and come off their sum, packed in between.
TEST_P(RingLanesTest, MasksComeOffASumOfPackedInputs) {
  std::vector<MaskTerm> terms(1);
  terms[0].key.mutable_bytes()[0] = 1;
  RingLanes one = RingLanes::FromValues(lane(), Random(6, 50));
  RingLanes expected = one;
  one.Apply(terms, OneAfterTheOther);
  EXPECT_NE(one.Values(), expected.Values());
  const RingLanes other = RingLanes::FromValues(lane(), Random(7, 50));
  RingLanes sum(lane(), 50);
  ASSERT_THAT(sum.Add(one.Pack()), IsOk());
  ASSERT_THAT(sum.Add(other.Pack()), IsOk());
  ASSERT_THAT(expected.Add(other.Pack()), IsOk());
  terms[0].subtract = true;
  sum.Apply(terms, OneAfterTheOther);
  EXPECT_EQ(sum.Values(), expected.Values());
}

INSTANTIATE_TEST_SUITE_P(Lanes, RingLanesTest, testing::Values(16, 24, 32));

TEST(RingLanesDeathTest, OfNoOtherWidth) {
  EXPECT_DEATH(RingLanes(8, 1), "");
  EXPECT_DEATH(RingLanes(31, 1), "");
}

}  // namespace
}  // namespace fleetune::secagg
