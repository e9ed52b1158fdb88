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

}  // namespace
}  // namespace fleetune
