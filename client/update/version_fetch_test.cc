#include "client/update/version_fetch.h"

#include <algorithm>
#include <filesystem>

#include "client/update/update_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using ::testing::SizeIs;
using update_fixture::DigestOf;
using update_fixture::FakePublisher;
using update_fixture::SmallPlan;
using update_fixture::SmallSizes;
using update_fixture::Stored;

class VersionFetchTest : public ::testing::Test {
 protected:
  absl::StatusOr<bool> Fetch(uint32_t version, uint32_t most_parts = 10'000) {
    return FetchVersion({.plan = SmallPlan(), .version = publisher_.version(version), .sizes = SmallSizes()},
                        {.downloads = folder_.path() + "/downloads", .most_parts = most_parts}, publisher_.key(),
                        shelf_, publisher_);
  }

  void ExpectServable(uint32_t version) {
    ASSERT_THAT(shelf_.Serve(publisher_.version(version)), IsOk());
    const auto adapter = RebuildAdapter(*shelf_.Serving("t"), SmallSizes());
    ASSERT_THAT(adapter, IsOk());
    EXPECT_TRUE(std::ranges::equal(adapter->b(), publisher_.adapter(version).b()));
  }

  TempFolder folder_;
  FakePublisher publisher_{3};
  AdapterShelf shelf_{folder_.path() + "/adapters"};
};

TEST_F(VersionFetchTest, VersionZeroFollowsFromThePlanWithoutAByte) {
  EXPECT_EQ(*Fetch(0), true);
  EXPECT_EQ(publisher_.parts, 0u);
  ExpectServable(0);
}

TEST_F(VersionFetchTest, FollowsTheChainFromWhatIsServed) {
  ASSERT_EQ(*Fetch(1), true);
  ExpectServable(1);
  ASSERT_EQ(*Fetch(3), true);
  ExpectServable(3);
  EXPECT_EQ(publisher_.wishes.back().have_version, 1u);
  // What is here already costs nothing.
  const uint32_t parts = publisher_.parts;
  ASSERT_EQ(*Fetch(3), true);
  EXPECT_EQ(publisher_.parts, parts);
}

TEST_F(VersionFetchTest, GoesBackToAnEarlierVersion) {
  ASSERT_EQ(*Fetch(3), true);
  ExpectServable(3);
  ASSERT_EQ(*Fetch(1), true);
  ExpectServable(1);
}

TEST_F(VersionFetchTest, ResumesWhereTheConnectionBroke) {
  publisher_.fail_after_parts = 3;
  EXPECT_THAT(Fetch(3), HasStatus(absl::StatusCode::kUnavailable, "away"));
  EXPECT_EQ(publisher_.parts, 3u);
  publisher_.fail_after_parts = UINT32_MAX;
  ASSERT_EQ(*Fetch(3), true);
  const uint32_t resumed = publisher_.parts;

  TempFolder other;
  AdapterShelf fresh(other.path());
  publisher_.parts = 0;
  ASSERT_THAT(FetchVersion({.plan = SmallPlan(), .version = publisher_.version(3), .sizes = SmallSizes()},
                           {.downloads = other.path() + "/d", .most_parts = 10'000}, publisher_.key(), fresh, publisher_),
              IsOk());
  EXPECT_EQ(resumed, publisher_.parts) << "no part came twice";
}

TEST_F(VersionFetchTest, ComesInSlices) {
  int calls = 0;
  for (;; ++calls) {
    const auto done = Fetch(3, 1);
    ASSERT_THAT(done, IsOk());
    if (*done) break;
  }
  EXPECT_GT(calls, 3);
  ExpectServable(3);
}

TEST_F(VersionFetchTest, AFlippedBitOnTheWayIsRefusedAndWhatIsServedStays) {
  ASSERT_EQ(*Fetch(1), true);
  ExpectServable(1);
  publisher_.flip_a_bit = true;
  EXPECT_THAT(Fetch(2), HasStatus(absl::StatusCode::kDataLoss, "hash"));
  EXPECT_EQ(shelf_.Serving("t")->version, publisher_.version(1));
  publisher_.flip_a_bit = false;
  EXPECT_EQ(*Fetch(2), true);
}

TEST_F(VersionFetchTest, AnotherSignersUpdateIsRefused) {
  SigningKey forger = SigningKey::Generate();
  publisher_.other_signer = &forger;
  EXPECT_THAT(Fetch(1), HasStatus(absl::StatusCode::kUnauthenticated, ""));
  EXPECT_FALSE(shelf_.Serving("t").ok());
}

TEST_F(VersionFetchTest, AnUpdateForAnotherBaseIsRefused) {
  publisher_.other_base = DigestOf(0xcc);
  EXPECT_THAT(Fetch(1), HasStatus(absl::StatusCode::kFailedPrecondition, "base"));
}

TEST_F(VersionFetchTest, AnAdapterOfAnotherHistoryHealsByASnapshot) {
  ASSERT_EQ(*Fetch(1), true);
  ExpectServable(1);
  publisher_.forget_parents = true;
  ASSERT_EQ(*Fetch(3), true);
  EXPECT_TRUE(publisher_.wishes.back().have_nothing);
  ExpectServable(3);
}

TEST_F(VersionFetchTest, ADamagedFileHeals) {
  ASSERT_EQ(*Fetch(2), true);
  ExpectServable(2);
  for (const auto& entry : std::filesystem::directory_iterator(folder_.path() + "/adapters/t")) {
    std::filesystem::resize_file(entry.path(), entry.file_size() - 1);
  }
  EXPECT_FALSE(shelf_.Serving("t").ok());
  ASSERT_EQ(*Fetch(2), true);
  ExpectServable(2);
}

TEST_F(VersionFetchTest, AResultThatIsNotWhatWasPromisedIsRefused) {
  ServedVersion promised = publisher_.version(2);
  promised.hash = DigestOf(1);
  EXPECT_THAT(FetchVersion({.plan = SmallPlan(), .version = promised, .sizes = SmallSizes()},
                           {.downloads = folder_.path() + "/downloads", .most_parts = 10'000}, publisher_.key(), shelf_,
                           publisher_),
              HasStatus(absl::StatusCode::kDataLoss, "expected hash"));
  EXPECT_FALSE(shelf_.Serving("t").ok());
}

}  // namespace
}  // namespace fleetune
