// An update of a task with secure aggregation: what the agent does with a seat, step by step.

#include <optional>
#include <string>
#include <vector>

#include "client/core/agent.h"
#include "client/core/agent_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using agent_fixture::CallTo;
using agent_fixture::DigestOf;
using agent_fixture::GoodConditions;
using agent_fixture::MaskedPlanOf;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

// A device with an encoded update, whose steps the test answers.
class AgentCellsTest : public ::testing::Test {
 protected:
  AgentCellsTest() { Restart(Trained()); }

  static DeviceState Trained() {
    DeviceState state;
    state.pending = PendingUpdate{.order = {.round = "r1", .task = "t", .version_hash = DigestOf(0), .deadline = {}},
                                  .plan = FormatTrainingPlan(MaskedPlanOf("t")),
                                  .sha256 = DigestOf(7),
                                  .size = 48,
                                  .parameters = 20,
                                  .examples = 9,
                                  .seat = {},
                                  .ended_cell = {}};
    return state;
  }

  void Restart(DeviceState state, const AgentOptions& options = {}) {
    agent_.emplace(std::move(state), options, &random_);
    Apply(AgentStarted{.served = {}, .models = {}, .conditions = GoodConditions()});
    if (std::holds_alternative<CheckInNow>(decision_.step)) CheckIn("r1");
  }

  void CheckIn(const std::string& round) {
    Apply(CheckInAnswered{.next_check_in = minutes(60), .tasks = {}, .invitation = CallTo(round, 0)});
  }

  void Apply(const AgentEvent& event) { decision_ = agent_->Apply(event, now_); }

  template <typename Step>
  const Step& Expect() {
    EXPECT_TRUE(std::holds_alternative<Step>(decision_.step)) << "another step: number " << decision_.step.index();
    return std::get<Step>(decision_.step);
  }

  // Waits until the agent wants something.
  void Sleep() {
    now_ = Expect<WaitUntil>().time;
    Apply(Woke{});
  }

  void Join(const std::string& cell = "r1.1") {
    Expect<TakeCellSeat>();
    Apply(CellJoined{.cell = cell, .min_inputs = 4, .session = DigestOf(10), .message = DigestOf(20)});
  }
  void Answer(uint8_t session, uint8_t message) {
    Expect<ExchangeInCell>();
    Apply(CellAnswered{.session = DigestOf(session), .message = DigestOf(message)});
  }
  void Mask() {
    Expect<ExchangeInCell>();
    Apply(CellMasked{.session = DigestOf(12), .sha256 = DigestOf(30), .size = 48});
  }
  void Upload() {
    Expect<OpenRoundUpload>();
    Apply(UploadOpened{.chunk_bytes = 64, .missing_chunks = {0}});
    Expect<SendChunk>();
    Apply(ChunkStored{0});
    Expect<CommitRoundUpload>();
    Apply(UpdateCounted{});
  }

  const CellSeat& seat() const { return *agent_->state().pending->seat; }
  std::string Notes() const { return ::testing::PrintToString(decision_.notes); }

  SplitMix64 random_{1};
  TimePoint now_ = FromMillis(1'000'000);
  std::optional<Agent> agent_;
  AgentDecision decision_;
};

TEST_F(AgentCellsTest, GoesTheWholeWay) {
  EXPECT_EQ(Expect<TakeCellSeat>().parameters, 20u);
  Join();
  EXPECT_EQ(Expect<ExchangeInCell>().cell, "r1.1");
  EXPECT_EQ(Expect<ExchangeInCell>().session, DigestOf(10));
  EXPECT_EQ(Expect<ExchangeInCell>().message, DigestOf(20));
  EXPECT_EQ(Expect<ExchangeInCell>().update, DigestOf(7));
  Apply(CellWaits{seconds(2)});
  EXPECT_EQ(Expect<WaitUntil>().time, now_ + seconds(2));
  Sleep();
  EXPECT_EQ(Expect<ExchangeInCell>().message, std::nullopt);  // it was heard
  Answer(11, 21);
  EXPECT_EQ(Expect<ExchangeInCell>().message, DigestOf(21));
  EXPECT_EQ(Expect<ExchangeInCell>().session, DigestOf(11));
  Mask();
  EXPECT_EQ(Expect<OpenRoundUpload>().round, "r1.1");
  EXPECT_EQ(Expect<OpenRoundUpload>().sha256, DigestOf(30));
  Apply(UploadOpened{.chunk_bytes = 64, .missing_chunks = {0}});
  EXPECT_THAT(Notes(), HasSubstr("sending the masked update of 20 parameters trained on 9 examples for task t, round "
                                 "r1, cell r1.1: 48 bytes; the coordinator can read it only in a sum of at least 4 "
                                 "devices"));
  EXPECT_EQ(Expect<SendChunk>().round, "r1.1");
  Apply(ChunkStored{0});
  EXPECT_EQ(Expect<CommitRoundUpload>().round, "r1.1");
  Apply(UpdateCounted{});
  EXPECT_TRUE(agent_->state().pending.has_value());  // the cell has it; its sum is not open yet
  Answer(13, 22);
  Expect<ExchangeInCell>();
  Apply(CellOver{.counted = true});
  EXPECT_THAT(Notes(), HasSubstr("counted the masked update of 20 parameters"));
  EXPECT_THAT(Notes(), Not(HasSubstr("no masks")));
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_THAT(agent_->state().settled, Contains(SettledRound{"r1", RoundEnd::kCounted}));
}

TEST_F(AgentCellsTest, StateNamesAllThatMustBeKept) {
  EXPECT_THAT(PayloadsOf({}), IsEmpty());
  Join();
  EXPECT_THAT(PayloadsOf(agent_->state()), ElementsAre(DigestOf(7), DigestOf(10), DigestOf(20)));
  Mask();
  EXPECT_THAT(PayloadsOf(agent_->state()), ElementsAre(DigestOf(7), DigestOf(12), DigestOf(30)));
  Expect<OpenRoundUpload>();
  Apply(PayloadLost{.sha256 = DigestOf(30), .status = absl::DataLossError("x")});
  EXPECT_THAT(PayloadsOf(agent_->state()), ElementsAre(DigestOf(7)));
}

TEST_F(AgentCellsTest, KilledItGoesOnWithTheSameSessionAndSaysTheSame) {
  Join();
  Answer(11, 21);
  Restart(agent_->state());
  EXPECT_EQ(Expect<ExchangeInCell>().session, DigestOf(11));
  EXPECT_EQ(Expect<ExchangeInCell>().message, DigestOf(21));
  Mask();
  Restart(agent_->state());
  EXPECT_EQ(Expect<OpenRoundUpload>().sha256, DigestOf(30));
  Apply(UploadOpened{.chunk_bytes = 64, .missing_chunks = {0}});
  Restart(agent_->state());
  Apply(UploadOpened{.chunk_bytes = 64, .missing_chunks = {}, .committed = true});
  EXPECT_THAT(decision_.notes, IsEmpty());  // said already
  EXPECT_EQ(Expect<ExchangeInCell>().session, DigestOf(12));
}

TEST_F(AgentCellsTest, LostCallsAreRepeatedWithTheSameMessage) {
  Join();
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Expect<ExchangeInCell>().message, DigestOf(20));
    Apply(StepFailed{absl::UnavailableError("lost")});
    Sleep();
  }
  EXPECT_EQ(Expect<ExchangeInCell>().message, DigestOf(20));
}

TEST_F(AgentCellsTest, ACellThatFailsCostsASeatAndNotTheUpdate) {
  Join("r1.1");
  Mask();
  Upload();
  Expect<ExchangeInCell>();
  Apply(CellOver{.counted = false});
  EXPECT_EQ(agent_->state().pending->failed_cells, 1u);
  EXPECT_FALSE(agent_->state().pending->seat.has_value());
  EXPECT_GT(Expect<WaitUntil>().time, now_);
  Sleep();
  Join("r1.2");
  EXPECT_EQ(Expect<ExchangeInCell>().cell, "r1.2");
  Mask();
  Expect<OpenRoundUpload>();
  Apply(UploadOpened{.chunk_bytes = 64, .missing_chunks = {0}});
  EXPECT_THAT(Notes(), HasSubstr("cell r1.2"));
}

// Two sums that it is in would tell a coordinator that lies what their other devices differ in.
TEST_F(AgentCellsTest, AgainstALiarAnUpdateGoesIntoOneCellOnly) {
  DeviceState state = Trained();
  TrainingPlan plan = MaskedPlanOf("t");
  plan.secure.mode = SecureMode::kMalicious;
  state.pending->plan = FormatTrainingPlan(plan);
  Restart(state);
  Join("r1.1");
  Expect<ExchangeInCell>();
  Apply(CellOver{.counted = false});  // nothing was sent there
  Sleep();
  Join("r1.2");
  Mask();
  Expect<OpenRoundUpload>();
  Apply(UploadOpened{.chunk_bytes = 64, .missing_chunks = {0}});
  Expect<SendChunk>();
  Apply(ChunkStored{0});
  Expect<CommitRoundUpload>();
  Apply(UpdateCounted{});
  Expect<ExchangeInCell>();
  Apply(CellOver{.counted = false});
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_THAT(Notes(), HasSubstr("it may go to one only"));
}

TEST_F(AgentCellsTest, NoSecondSessionInACellThatIsOverForThisDevice) {
  Join("r1.1");
  Expect<ExchangeInCell>();
  Apply(CellOver{.counted = false});
  Restart(agent_->state());
  EXPECT_EQ(Expect<TakeCellSeat>().ended_cell, "r1.1");
  Apply(CellWaits{seconds(5)});  // it was offered again
  EXPECT_EQ(Expect<WaitUntil>().time, now_ + seconds(5));
  EXPECT_EQ(agent_->state().pending->failed_cells, 1u);
  Sleep();
  Join("r1.2");
}

TEST_F(AgentCellsTest, TooManyFailedCellsDeclineTheRound) {
  AgentOptions options;
  options.cells = 3;
  Restart(Trained(), options);
  for (uint32_t cell = 1; cell <= 3; ++cell) {
    EXPECT_EQ(agent_->state().pending->failed_cells, cell - 1);
    Join();
    Expect<ExchangeInCell>();
    Apply(CellOver{.counted = false});
    if (cell < 3) Sleep();
  }
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_THAT(Notes(), HasSubstr("dropped the update for task t, round r1 (nothing of it was sent): 3 cells failed"));
  EXPECT_EQ(Expect<TellDecline>().notice.round, "r1");
}

TEST_F(AgentCellsTest, ARestartDoesNotForgetFailedCells) {
  Join();
  Expect<ExchangeInCell>();
  Apply(CellOver{.counted = false});
  Restart(agent_->state());
  EXPECT_EQ(agent_->state().pending->failed_cells, 1u);
}

TEST_F(AgentCellsTest, ARefusedSeatIsNotedOnceAndTriedAgain) {
  Expect<TakeCellSeat>();
  const CellRefused refused{
      .cell = "r1.1",
      .status = absl::FailedPreconditionError("this device's policy: cohort: expected at least 5, got 3")};
  Apply(refused);
  EXPECT_THAT(decision_.notes,
              ElementsAre("did not join cell r1.1: this device's policy: cohort: expected at least 5, got 3"));
  Sleep();
  Expect<TakeCellSeat>();
  Apply(refused);
  EXPECT_THAT(decision_.notes, IsEmpty());
  EXPECT_EQ(agent_->state().pending->failed_cells, 2u);
}

TEST_F(AgentCellsTest, ASessionThatRefusesIsForgottenAndTheCellsEndAwaited) {
  Join();
  Mask();
  Upload();
  Expect<ExchangeInCell>();
  Apply(CellRefused{.cell = "r1.1", .status = absl::FailedPreconditionError("view: expected at least 5, got 3")});
  EXPECT_THAT(decision_.notes, ElementsAre("left cell r1.1: view: expected at least 5, got 3"));
  EXPECT_TRUE(seat().given_up);
  Sleep();
  // The input is with the coordinator: another seat now could count it twice.
  EXPECT_EQ(Expect<ExchangeInCell>().session, std::nullopt);
  EXPECT_EQ(Expect<ExchangeInCell>().message, std::nullopt);
  Apply(CellWaits{seconds(5)});
  Restart(agent_->state());
  EXPECT_EQ(Expect<ExchangeInCell>().session, std::nullopt);
  Apply(CellOver{.counted = true});
  EXPECT_THAT(agent_->state().settled, Contains(SettledRound{"r1", RoundEnd::kCounted}));
}

TEST_F(AgentCellsTest, ACellThatDoesNotKnowTheDeviceIsLeftForAnother) {
  Join();
  Expect<ExchangeInCell>();
  Apply(StepFailed{absl::FailedPreconditionError("no seat left")});
  EXPECT_THAT(Notes(), HasSubstr("left cell r1.1: no seat left"));
  Sleep();
  Expect<ExchangeInCell>();
  Apply(StepFailed{absl::FailedPreconditionError("no seat here")});
  EXPECT_FALSE(agent_->state().pending->seat.has_value());
  Sleep();
  Expect<TakeCellSeat>();
}

TEST_F(AgentCellsTest, ARefusedUploadAsksTheCellWhetherItIsOver) {
  Join();
  Mask();
  Expect<OpenRoundUpload>();
  Apply(StepFailed{absl::FailedPreconditionError("inputs are closed")});
  Expect<ExchangeInCell>();
  Apply(CellOver{.counted = false});
  EXPECT_TRUE(agent_->state().pending.has_value());
  EXPECT_EQ(agent_->state().pending->failed_cells, 1u);
}

TEST_F(AgentCellsTest, ACellThatRefusesUploadsAndGoesOnIsLeft) {
  Join();
  Mask();
  for (int i = 0; i < 2; ++i) {
    Expect<OpenRoundUpload>();
    Apply(StepFailed{absl::FailedPreconditionError("not you")});
    Expect<ExchangeInCell>();
    Apply(CellWaits{milliseconds(200)});
    Sleep();
  }
  Expect<OpenRoundUpload>();
  Apply(StepFailed{absl::FailedPreconditionError("not you")});
  EXPECT_TRUE(seat().given_up);
}

TEST_F(AgentCellsTest, ACellThatLostTheInputGetsTheSameBytesAgain) {
  Join();
  Mask();
  Upload();
  Mask();
  EXPECT_FALSE(seat().masked->committed);
  Sleep();
  EXPECT_EQ(Expect<OpenRoundUpload>().sha256, DigestOf(30));
}

TEST_F(AgentCellsTest, OneUpdateIsNotMaskedInTwoWays) {
  Join();
  Mask();
  Upload();
  Expect<ExchangeInCell>();
  Apply(CellMasked{.session = DigestOf(12), .sha256 = DigestOf(31), .size = 48});
  EXPECT_TRUE(seat().given_up);
  EXPECT_THAT(PayloadsOf(agent_->state()), Not(Contains(DigestOf(31))));
}

TEST_F(AgentCellsTest, LostSessionsAreLeftAndALostUpdateIsDropped) {
  Join();
  Apply(PayloadLost{.sha256 = DigestOf(10), .status = absl::DataLossError("damaged")});
  EXPECT_THAT(Notes(), HasSubstr("left cell r1.1: what this device kept of it is damaged"));
  Restart(Trained());
  Join();
  Apply(PayloadLost{.sha256 = DigestOf(7), .status = absl::DataLossError("damaged")});
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_EQ(Expect<TellDecline>().notice.round, "r1");
}

TEST_F(AgentCellsTest, PausesAreNeitherTooShortNorTooLong) {
  Join();
  Apply(CellWaits{milliseconds(0)});
  EXPECT_EQ(Expect<WaitUntil>().time, now_ + milliseconds(100));
  Sleep();
  Apply(CellWaits{std::chrono::hours(5)});
  EXPECT_EQ(Expect<WaitUntil>().time, now_ + minutes(1));
  Sleep();
  // A coordinator that asks the same again and again.
  Answer(11, 21);
  Answer(11, 21);
  EXPECT_EQ(Expect<WaitUntil>().time, now_ + milliseconds(100));
}

TEST_F(AgentCellsTest, NoSeatMeansTheRoundIsOver) {
  Expect<TakeCellSeat>();
  Apply(StepFailed{absl::FailedPreconditionError("round r1 is over")});
  EXPECT_FALSE(agent_->state().pending.has_value());
  EXPECT_THAT(Notes(), HasSubstr("dropped the update for task t, round r1 (nothing of it was sent): the coordinator "
                                 "refused it: round r1 is over"));
}

TEST_F(AgentCellsTest, AnotherRoundTakesItsPlace) {
  Join();
  Mask();
  Expect<OpenRoundUpload>();
  Apply(UploadOpened{.chunk_bytes = 64, .missing_chunks = {0}});
  CheckIn("r2");
  EXPECT_THAT(Notes(), HasSubstr("masked parts of it may have been sent"));
  EXPECT_FALSE(agent_->state().pending.has_value());
}

TEST_F(AgentCellsTest, APolicyThatBecameStricterDropsWhatIsPending) {
  AgentOptions strict;
  strict.privacy.session.min_cohort = 5;
  Restart(Trained(), strict);
  EXPECT_THAT(Notes(), HasSubstr("cohort: expected at least 5, got 3"));
  EXPECT_EQ(Expect<TellDecline>().notice.round, "r1");
  DeviceState plain = Trained();
  plain.pending->plan = FormatTrainingPlan(agent_fixture::PlanOf("t"));
  AgentOptions masked_only;
  masked_only.privacy.refuse_unmasked = true;
  Restart(plain, masked_only);
  EXPECT_THAT(Notes(), HasSubstr("the task sends updates without masks"));
  EXPECT_EQ(Expect<TellDecline>().notice.round, "r1");
}

TEST_F(AgentCellsTest, APlanThatCannotBeReadAnyMoreDropsTheUpdate) {
  DeviceState state = Trained();
  state.pending->plan = "of another program";
  Restart(state);
  EXPECT_THAT(Notes(), HasSubstr("its plan cannot be read"));
  EXPECT_FALSE(agent_->state().pending.has_value());
}

TEST_F(AgentCellsTest, APolicyIsAppliedBeforeTraining) {
  AgentOptions masked_only;
  masked_only.privacy.refuse_unmasked = true;
  Restart({}, masked_only);
  Apply(CheckInAnswered{
      .next_check_in = minutes(1), .tasks = {agent_fixture::TaskAt("t", 0)}, .invitation = CallTo("r5", 0)});
  EXPECT_THAT(Expect<TellDecline>().notice.reason, HasSubstr("without masks"));
}

TEST_F(AgentCellsTest, StrayEventsChangeNothing) {
  Join();
  Apply(CellWaits{seconds(10)});
  const DeviceState before = agent_->state();
  Apply(Woke{});
  const std::vector<AgentEvent> strays = {CellJoined{}, CellRefused{},  CellWaits{},     CellAnswered{},
                                          CellMasked{}, CellOver{true}, UpdateCounted{}, UploadOpened{}};
  for (const AgentEvent& event : strays) {
    Apply(event);
    EXPECT_EQ(agent_->state(), before);
    EXPECT_THAT(decision_.notes, IsEmpty());
  }
}

TEST_F(AgentCellsTest, NothingIsSaidInACellWhereTransfersAreNotAllowed) {
  Join();
  DeviceConditions metered = GoodConditions();
  metered.may_transfer = false;
  Apply(ConditionsChanged{metered});
  Expect<WaitUntil>();
  Apply(ConditionsChanged{GoodConditions()});
  Expect<ExchangeInCell>();
}

}  // namespace
}  // namespace fleetune
