#include "client/app/state_store.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

class StateStoreTest : public ::testing::Test {
 protected:
  StateStore Open() { return StateStore::Open(device_.path() + "/state.db").value(); }
  TempFolder device_;
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

TEST_F(StateStoreTest, KeepsWhatAnswersCameToUntilADaemonBegins) {
  EXPECT_EQ(*Open().ReadServing(), std::nullopt);
  ServingRecord serving{.since = FromMillis(7), .answers = 4, .in_budget = 3, .answer_time = std::chrono::milliseconds(200),
                        .read_tokens = 100, .written_tokens = 50, .reading_speed = {}, .writing_speed = 12.5,
                        .memory_bytes = 1'000'000, .most_memory_bytes = 2'000'000};
  ASSERT_THAT(Open().WriteServing(serving), IsOk());
  EXPECT_EQ(*Open().ReadServing(), serving);
  serving.reading_speed = 0.1;
  ASSERT_THAT(Open().WriteServing(serving), IsOk());
  EXPECT_EQ(*Open().ReadServing(), serving);
  ASSERT_THAT(Open().WriteServing(std::nullopt), IsOk());
  EXPECT_EQ(*Open().ReadServing(), std::nullopt);
}

TEST_F(StateStoreTest, KeepsWhatTasksDoWithUpdates) {
  EXPECT_TRUE(Open().ReadTasks()->empty());
  std::vector<TaskPrivacy> tasks = {{.task = "a", .secure = {.mode = SecureMode::kOff}, .privacy = {}},
                                    {.task = "b", .secure = {}, .privacy = {.noise_multiplier = 1.5, .delta = 1e-7}}};
  tasks[1].secure = {.mode = SecureMode::kMalicious, .min_cohort = 9, .min_survivors = 8, .adversarial = 0.05,
                     .dropout = 0.2};
  ASSERT_THAT(Open().WriteTasks(tasks), IsOk());
  EXPECT_EQ(*Open().ReadTasks(), tasks);
}

TEST_F(StateStoreTest, ChargesStayAndAreThereOnce) {
  EXPECT_TRUE(Open().Charges()->empty());
  PrivacyCharge charge{.task = "a", .session = {}, .release = {}, .time_unix_ms = 7};
  charge.release = {.sensitivity = {.l2 = 3, .l1 = 9}, .variance = 100};
  PrivacyCharge other = charge;
  other.session.bytes[0] = 1;
  ASSERT_THAT(Open().AppendCharge(charge), IsOk());
  ASSERT_THAT(Open().AppendCharge(other), IsOk());
  ASSERT_THAT(Open().AppendCharge(charge), IsOk());
  const auto charges = Open().Charges();
  ASSERT_THAT(charges, IsOk());
  EXPECT_EQ(*charges, (std::vector<PrivacyCharge>{charge, other}));
}

}  // namespace
}  // namespace fleetune
