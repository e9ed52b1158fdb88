#include "client/core/agent_test_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using agent_fixture::CallTo;
using agent_fixture::DigestOf;
using agent_fixture::GoodConditions;
using agent_fixture::SmallModel;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Attempts at a training: what ends one, what holds it, and what is given back.

TEST_F(AgentTest, CrashedTrainerCostsTheAttemptAndTheThirdTheRound) {
  TrainUpTo("r1");
  for (uint32_t attempt = 1; attempt <= 2; ++attempt) {
    EXPECT_EQ(agent_->state().work->attempts, attempt);
    Apply(AttemptFailed{absl::UnavailableError("signal 9 (Killed)")});
    Expect<TrainRound>();
  }
  Apply(AttemptFailed{absl::UnavailableError("signal 9 (Killed)")});
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("signal 9"));
  EXPECT_FALSE(agent_->state().work.has_value());
}

TEST_F(AgentTest, HopelessTrainingIsNotTriedAgain) {
  TrainUpTo("r1");
  Apply(AttemptFailed{absl::InvalidArgumentError("no token to learn")});
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("no token to learn"));
}

TEST_F(AgentTest, KilledWhileTrainingItBeginsAnewWithoutTheCoordinator) {
  TrainUpTo("r1");
  Restart(agent_->state(), {{"t", 0, DigestOf(0)}});
  Expect<ExamineTask>();
  Apply(TaskExamined{.task = "t", .model = SmallModel(), .examples = kExamples});
  Expect<TrainRound>();
  EXPECT_EQ(agent_->state().work->attempts, 2u);
}

TEST_F(AgentTest, KilledThreeTimesWhileTrainingItDeclines) {
  TrainUpTo("r1");
  DeviceState state = agent_->state();
  state.work->attempts = 3;
  Restart(state);
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("cut off 3 times"));
}

TEST_F(AgentTest, StoppedCleanlyTheAttemptIsGivenBack) {
  TrainUpTo("r1");
  Apply(AgentStopping{});
  EXPECT_TRUE(decision_.stop_training);
  EXPECT_EQ(agent_->state().work->attempts, 0u);
}

DeviceConditions PausedByTheOwner() {
  DeviceConditions paused = GoodConditions();
  paused.paused = true;
  paused.reason = "paused by the owner";
  return paused;
}

DeviceConditions OnBattery() {
  DeviceConditions battery = GoodConditions();
  battery.may_train = false;
  battery.reason = "on battery";
  return battery;
}

TEST_F(AgentTest, PausedItSaysNothingAndTheTrainingWaits) {
  TrainUpTo("r1");
  EXPECT_FALSE(decision_.hold_training);
  Apply(ConditionsChanged{PausedByTheOwner()});
  EXPECT_FALSE(decision_.stop_training);
  EXPECT_TRUE(decision_.hold_training);
  EXPECT_THAT(decision_.remarks, testing::ElementsAre("training pauses: paused by the owner"));
  EXPECT_EQ(Expect<WaitUntil>().time, now_ + AgentOptions{}.longest_hold);
  Apply(Woke{});
  EXPECT_TRUE(decision_.hold_training);
  EXPECT_THAT(decision_.remarks, IsEmpty());  // said once
  Apply(ConditionsChanged{GoodConditions()});
  EXPECT_FALSE(decision_.hold_training);
  EXPECT_FALSE(decision_.stop_training);
  EXPECT_THAT(decision_.remarks, testing::ElementsAre("training goes on"));
  EXPECT_EQ(agent_->state().work->attempts, 1u);
  Encode();
  Expect<OpenRoundUpload>();
}

TEST_F(AgentTest, OnBatteryTheTrainingWaitsAndCheckInsGoOn) {
  TrainUpTo("r1");
  Apply(ConditionsChanged{OnBattery()});
  EXPECT_TRUE(decision_.hold_training);
  now_ = Expect<WaitUntil>().time;
  Apply(Woke{});
  Expect<CheckInNow>();
  EXPECT_TRUE(decision_.hold_training);
}

TEST_F(AgentTest, ALongPauseGivesTheMemoryBackAndTheAttemptToo) {
  TrainUpTo("r1");
  Apply(ConditionsChanged{PausedByTheOwner()});
  const TimePoint end = Expect<WaitUntil>().time;
  now_ = end - std::chrono::milliseconds(1);
  Apply(Woke{});
  EXPECT_FALSE(decision_.stop_training);
  now_ = end;
  Apply(Woke{});
  EXPECT_TRUE(decision_.stop_training);
  EXPECT_FALSE(decision_.hold_training);
  EXPECT_EQ(agent_->state().work->attempts, 0u);
  EXPECT_EQ(Expect<WaitUntil>().time, TimePoint::max());
  Apply(ConditionsChanged{GoodConditions()});
  Expect<ExamineTask>();
}

TEST_F(AgentTest, ATrainingInAPauseIsGivenUpAtItsDeadline) {
  RoundCall call = CallTo("r1", 0);
  call.time_left = std::chrono::minutes(3);
  CheckIn(call);
  BringAndExamine();
  Expect<TrainRound>();
  Apply(ConditionsChanged{PausedByTheOwner()});
  now_ = Expect<WaitUntil>().time;
  Apply(Woke{});
  EXPECT_TRUE(decision_.stop_training);
  EXPECT_FALSE(agent_->state().work.has_value());
}

TEST_F(AgentTest, ShortOfMemoryATrainingDoesNotKeepItsOwn) {
  TrainUpTo("r1");
  DeviceConditions full = OnBattery();
  full.memory_is_short = true;
  Apply(ConditionsChanged{full});
  EXPECT_TRUE(decision_.stop_training);
  EXPECT_FALSE(decision_.hold_training);
  EXPECT_EQ(agent_->state().work->attempts, 0u);
}

// Three times in a row without one is too often, not three times in all.
TEST_F(AgentTest, ANewCheckpointIsANewStart) {
  TrainUpTo("r1");
  DeviceState state = agent_->state();
  state.work->attempts = 2;
  Restart(state, {{"t", 0, DigestOf(0)}});
  Apply(TaskExamined{.task = "t", .model = SmallModel(), .examples = kExamples});
  Expect<TrainRound>();
  EXPECT_EQ(agent_->state().work->attempts, 3u);
  Apply(CheckpointKept{});
  EXPECT_EQ(agent_->state().work->attempts, 1u);
  Apply(AttemptFailed{absl::UnavailableError("killed")});
  Expect<TrainRound>();
  EXPECT_EQ(agent_->state().work->attempts, 2u);
}

}  // namespace
}  // namespace fleetune
