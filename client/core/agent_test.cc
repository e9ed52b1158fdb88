#include "client/core/agent_test_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using agent_fixture::CallTo;
using agent_fixture::DigestOf;
using agent_fixture::GoodConditions;
using agent_fixture::SmallModel;
using agent_fixture::TaskAt;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

}  // namespace
}  // namespace fleetune
