#include "client/core/agent_test_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using agent_fixture::CallTo;
using agent_fixture::ControlledPlanOf;
using agent_fixture::DigestOf;
using agent_fixture::TaskOf;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;

// Of a task with control variates.
class AgentControlTest : public AgentTest {
 protected:
  void CheckInTo(const std::string& round, uint32_t version = 0) {
    Apply(CheckInAnswered{.next_check_in = seconds(30),
                          .tasks = {TaskOf(ControlledPlanOf("t"), 0)},
                          .invitation = CallTo(round, version)});
  }
  // Until the training asks for the server's.
  void Prepare(const std::string& round) {
    Expect<CheckInNow>();
    CheckInTo(round);
    BringAndExamine();
  }
  void Train(const std::string& round) {
    Prepare(round);
    EXPECT_EQ(Expect<BringControl>().order.round, round);
    Apply(ControlReady{round});
    Expect<TrainRound>();
    Encode();
  }
  void Upload() {
    Expect<OpenRoundUpload>();
    Apply(UploadOpened{.chunk_bytes = 100'000, .missing_chunks = {0}});
    Expect<SendChunk>();
    Apply(ChunkStored{0});
    Expect<CommitRoundUpload>();
  }
};

TEST_F(AgentControlTest, TheServersAreBroughtBeforeTheTraining) {
  Prepare("r1");
  Expect<BringControl>();
  Apply(StepProgressed{});
  Expect<BringControl>();
  Apply(ControlReady{"r1"});
  Expect<TrainRound>();
  // Another attempt has them at hand.
  Apply(AttemptFailed{absl::UnavailableError("killed")});
  Expect<TrainRound>();
}

TEST_F(AgentControlTest, AfterARestartTheyAreBroughtAgain) {
  Prepare("r1");
  Apply(ControlReady{"r1"});
  Restart(agent_->state(), {{"t", 0, DigestOf(0)}});
  Examine();
  Expect<CheckInNow>();
  CheckInTo("r1");
  EXPECT_EQ(Expect<BringControl>().order.round, "r1");
}

TEST_F(AgentControlTest, DamagedOnesAreAskedForAgainThoseOfARoundThatIsOverAreNot) {
  Prepare("r1");
  Apply(StepFailed{absl::DataLossError("other bytes")});
  now_ = Expect<WaitUntil>().time;
  Apply(Woke{});
  Expect<BringControl>();
  Apply(StepFailed{absl::FailedPreconditionError("round r1 is over")});
  EXPECT_EQ(Expect<TellDecline>().notice.round, "r1");
  EXPECT_THAT(Notes(), HasSubstr("cannot have the round's control variates: round r1 is over"));
  EXPECT_FALSE(agent_->state().work.has_value());
}

TEST_F(AgentControlTest, WhatLeavesAndWhatStaysIsNoted) {
  Train("r1");
  Expect<OpenRoundUpload>();
  Apply(UploadOpened{.chunk_bytes = 100'000, .missing_chunks = {0}});
  EXPECT_THAT(decision_.notes, Contains(HasSubstr("sending the encoded adapter delta of 24000 parameters, and of the "
                                                  "change of their control variates, trained on 180 examples")));
  EXPECT_FALSE(decision_.counted.has_value());
  Apply(ChunkStored{0});
  Apply(UpdateCounted{});
  ASSERT_TRUE(decision_.counted.has_value());
  EXPECT_EQ(decision_.counted->task, "t");
  EXPECT_EQ(decision_.counted->round, "r1");
  EXPECT_THAT(decision_.notes, Contains(HasSubstr("control variates that stay on this device moved by what was sent")));
}

TEST_F(AgentControlTest, NothingMovesForAnUpdateThatIsDropped) {
  Train("r1");
  Upload();
  Apply(StepFailed{absl::UnavailableError("away")});
  now_ = Expect<WaitUntil>().time;
  Apply(Woke{});
  Expect<OpenRoundUpload>();
  Apply(StepFailed{absl::FailedPreconditionError("the round is over")});
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_FALSE(decision_.counted.has_value());
}

// Whether it was counted decides what stays here, so another round waits until that is known.
TEST_F(AgentControlTest, AnUpdateThatMayBeCountedIsSettledBeforeAnotherRound) {
  Train("r1");
  Upload();
  Apply(StepFailed{absl::DeadlineExceededError("no answer")});
  now_ += seconds(60);
  Apply(Woke{});
  Expect<CheckInNow>();
  CheckInTo("r2", 1);
  EXPECT_EQ(agent_->state().pending->order.round, "r1");
  Expect<OpenRoundUpload>();
  Apply(UploadOpened{.missing_chunks = {}, .committed = true});
  EXPECT_EQ(decision_.counted->round, "r1");
  Expect<CheckInNow>();  // at once, for what was put off
  CheckInTo("r2", 1);
  EXPECT_EQ(agent_->state().work->order.round, "r2");
}

TEST_F(AgentControlTest, AnUpdateOfWhichNothingWasSentMakesWay) {
  Train("r1");
  Apply(StepFailed{absl::UnavailableError("away")});
  now_ += seconds(60);
  Apply(Woke{});
  Expect<CheckInNow>();
  CheckInTo("r2", 1);
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_EQ(agent_->state().work->order.round, "r2");
}

TEST_F(AgentTest, WithoutControlVariatesNothingMoves) {
  TrainUpTo("r1");
  Encode();
  Apply(UploadOpened{.missing_chunks = {}, .committed = true});
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_FALSE(decision_.counted.has_value());
}

}  // namespace
}  // namespace fleetune
