#include "client/core/profile.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

TEST(ProfileTest, FindsEachByItsName) {
  for (const DeviceProfile& profile : DeviceProfiles()) {
    const auto found = FindDeviceProfile(profile.name);
    ASSERT_THAT(found, IsOk());
    EXPECT_EQ(found->memory_bytes, profile.memory_bytes);
  }
  EXPECT_EQ(FindDeviceProfile("raspberry_pi")->memory_bytes, 2'000'000'000u);
}

TEST(ProfileTest, AnotherNameIsRefusedWithTheKnownOnes) {
  EXPECT_THAT(FindDeviceProfile("toaster"), HasStatus(absl::StatusCode::kInvalidArgument, "edge_server"));
  EXPECT_THAT(FindDeviceProfile(""), HasStatus(absl::StatusCode::kInvalidArgument, "unknown profile"));
}

TEST(ProfileTest, ThreadsAreTheProfilesAndNoMoreThanThereAreCores) {
  const DeviceProfile board = *FindDeviceProfile("raspberry_pi"), server = *FindDeviceProfile("edge_server");
  EXPECT_EQ(TrainingThreads(board, 4), 2u);
  EXPECT_EQ(TrainingThreads(board, 1), 1u);
  EXPECT_EQ(TrainingThreads(board, 0), 2u);
  EXPECT_EQ(TrainingThreads(server, 16), 16u);
  EXPECT_EQ(TrainingThreads(server, 0), 0u);  // the trainer counts them
}

}  // namespace
}  // namespace fleetune
