#include "client/app/conditions_watch.h"

#include "client/app/daemon_lock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

class SetClock final : public Clock {
 public:
  TimePoint Now() const override { return now; }
  TimePoint now = FromMillis(1'700'000'000'000);
};

class ConditionsWatchTest : public testing::Test {
 protected:
  // No machine is fuller than this, or too hot for it.
  ConditionsWatch Watch() {
    return {folder_, {.min_battery_percent_unplugged = 0, .min_battery_percent_plugged = 0, .max_celsius = 120,
                      .max_memory_bytes = 16'000'000, .memory_reserve_bytes = 0}, &state_, &clock_};
  }

  const TempFolder device_;
  const DeviceFolder folder_{device_.path()};
  StateStore state_ = StateStore::Open(folder_.state()).value();
  SetClock clock_;
};

TEST_F(ConditionsWatchTest, TheFirstLookIsNewsAndTheSameAgainIsNot) {
  ConditionsWatch watch = Watch();
  EXPECT_TRUE(*watch.Look(0));
  EXPECT_EQ(watch.now().memory_bytes, 16'000'000u);
  EXPECT_TRUE(watch.now().may_train);
  EXPECT_FALSE(*watch.Look(0));
}

TEST_F(ConditionsWatchTest, AnOwnersPauseIsNews) {
  ConditionsWatch watch = Watch();
  ASSERT_THAT(watch.Look(0), IsOk());
  ASSERT_THAT(state_.SetPaused(true), IsOk());
  EXPECT_TRUE(*watch.Look(0));
  EXPECT_TRUE(watch.now().paused);
  EXPECT_EQ(watch.now().reason, "paused by the owner");
  EXPECT_FALSE(*watch.Look(0));
}

TEST_F(ConditionsWatchTest, APersonalTrainingIsNotNamed) {
  ConditionsWatch watch = Watch();
  ASSERT_THAT(watch.Look(0), IsOk());
  {
    const auto turn = DaemonLock::Take(folder_.personal_lock());
    ASSERT_THAT(turn, IsOk());
    EXPECT_TRUE(*watch.Look(0));
    EXPECT_FALSE(watch.now().may_train);
    EXPECT_EQ(watch.now().reason, "the owner needs the device");
  }
  EXPECT_TRUE(*watch.Look(0));
  EXPECT_TRUE(watch.now().may_train);
}

TEST_F(ConditionsWatchTest, ALookIsDueAfterItsTimeAndWhenTheClockIsSetBack) {
  ConditionsWatch watch = Watch();
  EXPECT_TRUE(watch.IsDue());
  ASSERT_THAT(watch.Look(0), IsOk());
  EXPECT_FALSE(watch.IsDue());
  clock_.now += kConditionsLook - milliseconds(1);
  EXPECT_FALSE(watch.IsDue());
  clock_.now += milliseconds(1);
  EXPECT_TRUE(watch.IsDue());
  clock_.now -= kConditionsLook + milliseconds(1);
  EXPECT_TRUE(watch.IsDue());
}

}  // namespace
}  // namespace fleetune
