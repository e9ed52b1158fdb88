#include "client/app/state_store.h"

#include "client/app/app_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

class StateStoreTest : public ::testing::Test {
 protected:
  StateStore Open() { return StateStore::Open(device_.path() + "/state.db").value(); }
  ScratchDevice device_;
};

TEST_F(StateStoreTest, ANewDeviceHasNothing) {
  StateStore store = Open();
  EXPECT_EQ(*store.Load(), DeviceState{});
  EXPECT_EQ(*store.IsPaused(), false);
  EXPECT_EQ(store.ReadHeartbeat()->phase, "stopped");
}

TEST_F(StateStoreTest, WhatWasSavedIsThereAfterARestart) {
  DeviceState state;
  state.settled = {{"r-1", RoundEnd::kDropped}};
  ASSERT_THAT(Open().Save(state), IsOk());
  EXPECT_EQ(*Open().Load(), state);
}

TEST_F(StateStoreTest, VerbsAndDaemonSeeEachOther) {
  StateStore daemon = Open();
  StateStore verb = Open();
  ASSERT_THAT(verb.SetPaused(true), IsOk());
  EXPECT_EQ(*daemon.IsPaused(), true);
  ASSERT_THAT(verb.SetPaused(false), IsOk());
  EXPECT_EQ(*daemon.IsPaused(), false);
  const Heartbeat beat{.phase = "training", .detail = "step 1", .time = FromMillis(5), .last_check_in = FromMillis(3),
                       .next_check_in = FromMillis(9)};
  ASSERT_THAT(daemon.WriteHeartbeat(beat), IsOk());
  EXPECT_EQ(*verb.ReadHeartbeat(), beat);
}

TEST_F(StateStoreTest, KeepsWhatTasksDoWithUpdates) {
  EXPECT_TRUE(Open().ReadTasks()->empty());
  std::vector<TaskPrivacy> tasks = {{.task = "a", .secure = {.mode = SecureMode::kOff}}, {.task = "b", .secure = {}}};
  tasks[1].secure = {.mode = SecureMode::kMalicious, .min_cohort = 9, .min_survivors = 8, .adversarial = 0.05,
                     .dropout = 0.2};
  ASSERT_THAT(Open().WriteTasks(tasks), IsOk());
  EXPECT_EQ(*Open().ReadTasks(), tasks);
}

}  // namespace
}  // namespace fleetune
