#include "client/core/agent.h"

#include <optional>
#include <string>
#include <vector>

#include "client/core/agent_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using agent_fixture::CallTo;
using agent_fixture::ControlledPlanOf;
using agent_fixture::DigestOf;
using agent_fixture::GoodConditions;
using agent_fixture::PlanOf;
using agent_fixture::SmallModel;
using agent_fixture::TaskAt;
using agent_fixture::TaskOf;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kExamples = 180;

// A device at a fixed time, whose steps the test answers.
class AgentTest : public ::testing::Test {
 protected:
  AgentTest() { Restart({}); }

  void Restart(DeviceState state, std::vector<ServedVersion> served = {}, const AgentOptions& options = {}) {
    agent_.emplace(std::move(state), options, &random_);
    Apply(AgentStarted{.served = std::move(served), .models = {DigestOf(0xba)}, .conditions = GoodConditions()});
  }

  void Apply(const AgentEvent& event) { decision_ = agent_->Apply(event, now_); }

  template <typename Step>
  const Step& Expect() {
    EXPECT_TRUE(std::holds_alternative<Step>(decision_.step)) << "another step: number " << decision_.step.index();
    return std::get<Step>(decision_.step);
  }

  void CheckIn(std::optional<RoundCall> invitation, uint32_t released = 0) {
    Expect<CheckInNow>();
    Apply(CheckInAnswered{.next_check_in = seconds(30), .tasks = {TaskAt("t", released)}, .invitation = invitation});
  }

  void Examine(uint64_t examples = kExamples) {
    Expect<ExamineTask>();
    Apply(TaskExamined{.task = "t", .model = SmallModel(), .examples = examples});
  }

  void BringAndExamine() {
    Examine();
    const ServedVersion version = Expect<BringAdapter>().version;
    Apply(AdapterReady{version});
  }

  void TrainUpTo(const std::string& round) {
    CheckIn(CallTo(round, 0));
    BringAndExamine();
    Expect<TrainRound>();
  }

  void Encode() { Apply(UpdateEncoded{.sha256 = DigestOf(7), .size = 96'004, .parameters = 24'000, .examples = kExamples}); }

  std::string Notes() const { return ::testing::PrintToString(decision_.notes); }

  SplitMix64 random_{1};
  TimePoint now_ = FromMillis(1'000'000);
  std::optional<Agent> agent_;
  AgentDecision decision_;
};

TEST_F(AgentTest, GoesTheWholeWay) {
  TrainUpTo("r1");
  EXPECT_EQ(agent_->state().work->attempts, 1u);
  Apply(Woke{});
  Expect<WaitUntil>();
  Encode();
  EXPECT_EQ(Expect<OpenRoundUpload>().sha256, DigestOf(7));
  Apply(UploadOpened{.chunk_bytes = 65'536, .missing_chunks = {0, 1}});
  EXPECT_THAT(Notes(), HasSubstr("sending the encoded adapter delta of 24000 parameters trained on 180 examples for "
                                 "task t, round r1: 96004 bytes; no masks"));
  EXPECT_EQ(Expect<SendChunk>().index, 0u);
  Apply(ChunkStored{0});
  EXPECT_EQ(Expect<SendChunk>().index, 1u);
  Apply(ChunkStored{1});
  Expect<CommitRoundUpload>();
  Apply(UpdateCounted{});
  EXPECT_THAT(Notes(), HasSubstr("counted"));
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_THAT(agent_->state().settled, Contains(SettledRound{"r1", RoundEnd::kCounted}));
  EXPECT_EQ(Expect<WaitUntil>().time, now_ + seconds(30));
}

TEST_F(AgentTest, ChecksInWhileItTrains) {
  TrainUpTo("r1");
  now_ += seconds(30);
  Apply(Woke{});
  CheckIn(CallTo("r1", 0));
  Expect<WaitUntil>();
  EXPECT_FALSE(decision_.stop_training);
  EXPECT_TRUE(agent_->training());
}

TEST_F(AgentTest, CountedRoundThatIsAskedForAgainIsIgnored) {
  TrainUpTo("r1");
  Encode();
  Apply(UploadOpened{.chunk_bytes = 0, .missing_chunks = {}, .committed = true});
  now_ += seconds(30);
  Apply(Woke{});
  CheckIn(CallTo("r1", 0));
  Expect<WaitUntil>();
  EXPECT_FALSE(agent_->state().work.has_value());
}

TEST_F(AgentTest, InvitationToAnotherRoundDropsThePendingUpdateWithANote) {
  TrainUpTo("r1");
  Encode();
  Expect<OpenRoundUpload>();
  Apply(StepFailed{absl::UnavailableError("away")});
  now_ += seconds(31);
  Apply(Woke{});
  CheckIn(CallTo("r2", 0));
  EXPECT_THAT(Notes(), HasSubstr("dropped the update for task t, round r1 (nothing of it was sent)"));
  EXPECT_EQ(agent_->state().work->order.round, "r2");
  EXPECT_FALSE(agent_->state().pending.has_value());
}

TEST_F(AgentTest, SameRoundAgainstAnotherVersionIsDeclinedOnceAnUpdateExists) {
  TrainUpTo("r1");
  Encode();
  Apply(StepFailed{absl::UnavailableError("away")});
  now_ += seconds(31);
  Apply(Woke{});
  CheckIn(CallTo("r1", 3));
  EXPECT_EQ(Expect<TellDecline>().notice.round, "r1");
  EXPECT_FALSE(agent_->state().work.has_value());
}

TEST_F(AgentTest, RefusedOpeningDropsTheUpdateAndRefusedChunkDoesNot) {
  TrainUpTo("r1");
  Encode();
  Apply(UploadOpened{.chunk_bytes = 65'536, .missing_chunks = {0, 1}});
  Expect<SendChunk>();
  Apply(StepFailed{absl::FailedPreconditionError("not opened")});
  EXPECT_TRUE(agent_->state().pending.has_value());
  now_ += seconds(2);
  Apply(Woke{});
  Expect<OpenRoundUpload>();
  Apply(StepFailed{absl::FailedPreconditionError("the round is over")});
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_THAT(Notes(), HasSubstr("parts of it may have been sent"));
}

TEST_F(AgentTest, DamagedPayloadIsDroppedAndTheRoundDeclined) {
  TrainUpTo("r1");
  Encode();
  Apply(PayloadLost{.sha256 = DigestOf(7), .status = absl::DataLossError("another hash")});
  EXPECT_THAT(Notes(), HasSubstr("damaged"));
  EXPECT_EQ(Expect<TellDecline>().notice.round, "r1");
  Apply(DeclineHeard{});
  now_ += seconds(30);
  Apply(Woke{});
  CheckIn(CallTo("r1", 0));
  Expect<TellDecline>();  // never a second payload for it
}

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

TEST_F(AgentTest, UploadsOnlyWhereTransfersAreAllowed) {
  TrainUpTo("r1");
  DeviceConditions metered = GoodConditions();
  metered.may_transfer = false;
  Apply(ConditionsChanged{metered});
  Encode();
  Expect<WaitUntil>();
  Apply(ConditionsChanged{GoodConditions()});
  Expect<OpenRoundUpload>();
}

TEST_F(AgentTest, TaskThatDoesNotFitIsDeclinedWithWhatWouldFit) {
  DeviceConditions small = GoodConditions();
  small.memory_bytes = 170'000'000;  // less than the trainer's program alone takes
  Apply(ConditionsChanged{small});
  CheckIn(CallTo("r1", 0));
  Examine();
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("170 MB allowed"));
  EXPECT_THAT(Notes(), HasSubstr("declined round r1"));
}

TEST_F(AgentTest, SaysThatATaskDoesNotFitBeforeItIsInvited) {
  DeviceConditions small = GoodConditions();
  small.memory_bytes = 170'000'000;  // less than the trainer's program alone takes
  Apply(ConditionsChanged{small});
  CheckIn(std::nullopt);
  Examine();
  EXPECT_THAT(::testing::PrintToString(decision_.remarks), HasSubstr("task t does not fit this device: needs"));
  Expect<BringAdapter>();  // it can answer with it all the same
}

TEST_F(AgentTest, ModelLargerThanTheBudgetIsNotEvenFetched) {
  DeviceConditions small = GoodConditions();
  small.memory_bytes = 999'999;
  Apply(ConditionsChanged{small});
  Apply(ModelLost{DigestOf(0xba)});
  CheckIn(CallTo("r1", 0));
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("base model alone"));
  Apply(DeclineHeard{});
  Expect<WaitUntil>();
}

TEST_F(AgentTest, TooFewExamplesAreDeclined) {
  CheckIn(CallTo("r1", 0));
  Examine(0);
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("0 examples here, the task asks for at least 1"));
}

TEST_F(AgentTest, TrainsTheRanksThatItMayAndDeclinesATaskOfMore) {
  AgentOptions options;
  options.largest_rank = 3;
  TrainingPlan plan = PlanOf("t");  // of rank 4
  for (const uint32_t smallest : {0u, 1u, 2u, 4u}) {
    Restart({}, {}, options);
    plan.smallest_rank = smallest;
    Expect<CheckInNow>();
    Apply(CheckInAnswered{
        .next_check_in = seconds(30), .tasks = {TaskOf(plan, 0)}, .invitation = CallTo("r" + std::to_string(smallest), 0)});
    if (smallest == 1 || smallest == 2) {
      BringAndExamine();
      EXPECT_EQ(Expect<TrainRound>().ranks, 2u);
    } else {
      Examine();
      EXPECT_THAT(Expect<TellDecline>().notice.reason,
                  HasSubstr("the task asks for at least rank 4, this device trains up to 3"));
    }
  }
}

TEST_F(AgentTest, InvitationWithoutAVerifiedPlanIsDeclined) {
  Expect<CheckInNow>();
  Apply(CheckInAnswered{.next_check_in = seconds(30), .tasks = {}, .invitation = CallTo("r1", 0)});
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("no plan with a valid signature"));
}

TEST_F(AgentTest, RoundThatIsNotAskedForAnyMoreIsGivenUp) {
  TrainUpTo("r1");
  now_ += seconds(30);
  Apply(Woke{});
  CheckIn(std::nullopt);
  EXPECT_TRUE(decision_.stop_training);
  EXPECT_FALSE(agent_->state().work.has_value());
}

TEST_F(AgentTest, DeadlineEndsTheWorkAtExactlyItsTime) {
  TrainUpTo("r1");
  now_ = agent_->state().work->order.deadline - std::chrono::milliseconds(1);
  Apply(Woke{});
  EXPECT_TRUE(agent_->training());
  now_ += std::chrono::milliseconds(1);
  Apply(Woke{});
  EXPECT_FALSE(agent_->training());
  EXPECT_TRUE(decision_.stop_training);
}

TEST_F(AgentTest, OfflineItWaitsLongerAndLongerAndUpToTheCap) {
  TimePoint previous = now_;
  for (int failure = 0; failure < 20; ++failure) {
    Expect<CheckInNow>();
    Apply(StepFailed{absl::UnavailableError("no route")});
    const TimePoint until = Expect<WaitUntil>().time;
    EXPECT_LE(until - now_, BackoffOptions{}.most);
    previous = now_;
    now_ = until;
    Apply(Woke{});
  }
  EXPECT_GE(now_ - previous, BackoffOptions{}.most / 2);
}

TEST_F(AgentTest, FollowsTheReleasedVersionBackToo) {
  CheckIn(std::nullopt, 3);
  Examine();
  EXPECT_EQ(Expect<BringAdapter>().version.version, 3u);
  EXPECT_TRUE(Expect<BringAdapter>().serve);
  Apply(AdapterReady{Expect<BringAdapter>().version});
  now_ = Expect<WaitUntil>().time;
  Apply(Woke{});
  CheckIn(std::nullopt, 2);
  EXPECT_EQ(Expect<BringAdapter>().version.version, 2u);
}

TEST_F(AgentTest, ForgedUpdateOfOneTaskDoesNotStopTheOthers) {
  Expect<CheckInNow>();
  Apply(CheckInAnswered{.next_check_in = seconds(30), .tasks = {TaskAt("a", 1), TaskAt("b", 1)}, .invitation = {}});
  for (const char* task : {"a", "b"}) Apply(TaskExamined{.task = task, .model = SmallModel(), .examples = kExamples});
  EXPECT_EQ(Expect<BringAdapter>().plan.task, "a");
  Apply(StepFailed{absl::UnauthenticatedError("signature")});
  EXPECT_EQ(Expect<BringAdapter>().plan.task, "b");
}

TEST_F(AgentTest, LostAdapterFileIsBroughtAgain) {
  TrainUpTo("r1");
  Apply(AdapterLost{"t"});
  Expect<BringAdapter>();
  EXPECT_EQ(agent_->state().work->attempts, 0u);
}

TEST_F(AgentTest, LostModelIsFetchedAgain) {
  TrainUpTo("r1");
  Apply(ModelLost{DigestOf(0xba)});
  EXPECT_EQ(Expect<FetchBaseModel>().size, 1'000'000u);
}

TEST_F(AgentTest, DeclineReasonIsCutToWhatTheWireTakes) {
  TrainUpTo("r1");
  Apply(AttemptFailed{absl::InvalidArgumentError(std::string(1000, 'x'))});
  EXPECT_EQ(Expect<TellDecline>().notice.reason.size(), kMaxDeclineReasonBytes);
}

TEST_F(AgentTest, EventsThatMakeNoSenseChangeNothing) {
  CheckIn(std::nullopt);
  Examine();
  Apply(AdapterReady{Expect<BringAdapter>().version});
  const DeviceState before = agent_->state();
  const std::vector<AgentEvent> strays = {UpdateEncoded{}, CheckpointKept{}, AttemptFailed{}, UploadOpened{}, ChunkStored{9}, UpdateCounted{},
                                          PayloadLost{},   TaskExamined{}, AdapterReady{}, CellJoined{}, CellRefused{}, PrivacyIsSpent{}, CellWaits{}, CellAnswered{}, CellMasked{},
                                          CellOver{}, AgentStopping{}};
  for (const AgentEvent& event : strays) {
    Apply(event);
    EXPECT_EQ(agent_->state(), before);
    EXPECT_THAT(decision_.notes, IsEmpty());
    Expect<WaitUntil>();
  }
}

TEST_F(AgentTest, SettledRoundsAreBounded) {
  for (size_t i = 0; i < kMaxSettledRounds + 5; ++i) {
    Apply(CheckInAnswered{.next_check_in = seconds(30), .tasks = {}, .invitation = CallTo("r" + std::to_string(i), 0)});
    Apply(DeclineHeard{});
  }
  EXPECT_EQ(agent_->state().settled.size(), kMaxSettledRounds);
}

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
