#include "client/update/control_fetch.h"

#include <vector>

#include "base/crypto/sha256.h"
#include "client/update/update_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ControlFetchTest : public ::testing::Test {
 protected:
  update_fixture::FakePublisher link_{0};
  ControlFetch fetch_{"t-1", 64};
};

TEST_F(ControlFetchTest, ComesInPartsAndGoesOnWhereItStopped) {
  for (uint8_t i = 0; i < 250; ++i) link_.control.push_back(i);
  link_.control.resize(64 * 4);
  EXPECT_FALSE(*fetch_.Fetch(1, link_));
  link_.fail_after_parts = 2;
  EXPECT_THAT(fetch_.Fetch(9, link_), HasStatus(absl::StatusCode::kUnavailable, "away"));
  link_.fail_after_parts = UINT32_MAX;
  EXPECT_TRUE(*fetch_.Fetch(9, link_));
  EXPECT_TRUE(fetch_.done());
  EXPECT_EQ(fetch_.bytes(), link_.control);
  EXPECT_THAT(link_.control_offsets, ElementsAre(0, 100, 200));
  EXPECT_TRUE(*fetch_.Fetch(9, link_));  // nothing is asked any more
  EXPECT_EQ(link_.parts, 3u);
}

TEST_F(ControlFetchTest, ZerosDoNotTravel) {
  EXPECT_TRUE(*fetch_.Fetch(1, link_));
  EXPECT_THAT(fetch_.bytes(), IsEmpty());
}

TEST_F(ControlFetchTest, DamagedOnesBeginAnew) {
  link_.control = Bytes(64 * 4, 7);
  link_.flip_a_bit = true;
  EXPECT_THAT(fetch_.Fetch(9, link_), HasStatus(absl::StatusCode::kDataLoss, "t-1"));
  EXPECT_FALSE(fetch_.done());
  link_.flip_a_bit = false;
  EXPECT_TRUE(*fetch_.Fetch(9, link_));
  EXPECT_EQ(fetch_.bytes(), link_.control);
}

TEST_F(ControlFetchTest, PartsOfTwoAnnouncementsAreNotPutTogether) {
  link_.control = Bytes(64 * 4, 7);
  EXPECT_FALSE(*fetch_.Fetch(1, link_));
  link_.control = Bytes(64 * 4, 8);
  EXPECT_THAT(fetch_.Fetch(1, link_), HasStatus(absl::StatusCode::kDataLoss, "changed on the way"));
  EXPECT_TRUE(*fetch_.Fetch(9, link_));
  EXPECT_EQ(fetch_.bytes(), link_.control);
}

TEST_F(ControlFetchTest, ThoseOfAnotherAdapterAreRefused) {
  link_.control = Bytes(63 * 4, 7);
  EXPECT_THAT(fetch_.Fetch(9, link_),
              HasStatus(absl::StatusCode::kInvalidArgument, "expected 256 bytes, or none, got 252"));
}

}  // namespace
}  // namespace fleetune
