#include "client/app/daemon_lock.h"

#include <utility>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

TEST(DaemonLockTest, OneAtATimeAndFreeAgainAfterwards) {
  TempFolder device;
  const std::string path = device.path() + "/daemon.lock";
  EXPECT_FALSE(DaemonLock::IsHeld(path));
  {
    auto lock = DaemonLock::Take(path);
    ASSERT_THAT(lock, IsOk());
    EXPECT_TRUE(DaemonLock::IsHeld(path));
    EXPECT_THAT(DaemonLock::Take(path), HasStatus(absl::StatusCode::kFailedPrecondition, "another daemon"));
    DaemonLock moved = *std::move(lock);
    EXPECT_TRUE(DaemonLock::IsHeld(path));
  }
  EXPECT_FALSE(DaemonLock::IsHeld(path));
  EXPECT_THAT(DaemonLock::Take(path), IsOk());
}

TEST(DaemonLockTest, AFolderThatIsNotThereIsUnavailable) {
  EXPECT_THAT(DaemonLock::Take("/nowhere/daemon.lock"), HasStatus(absl::StatusCode::kUnavailable, "/nowhere"));
}

}  // namespace
}  // namespace fleetune
