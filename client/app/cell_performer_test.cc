#include "client/app/cell_performer.h"

#include <string>
#include <vector>

#include "client/app/cell_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using cell_fixture::CellOrder;
using cell_fixture::CellPlan;
using cell_fixture::ConfigOf;
using cell_fixture::KillSwitch;
using cell_fixture::kParameters;
using cell_fixture::MemoryCharges;
using cell_fixture::MemoryPayloads;
using testing::IsEmpty;
using testing::SizeIs;

// A coordinator that answers as told.
class ScriptedCell final : public CoordinatorLink {
 public:
  OfferedSeat offer;
  CellNews news = CellQuiet{std::chrono::seconds(3)};
  absl::Status failure;
  std::vector<Bytes> heard;

  absl::StatusOr<ControlPart> FetchControl(const std::string&, uint64_t) override {
    return absl::UnimplementedError("not here");
  }
  absl::StatusOr<OfferedSeat> TakeSeat(const std::string&) override {
    if (!failure.ok()) return failure;
    return offer;
  }
  absl::StatusOr<CellNews> ExchangeCell(const std::string&, std::span<const uint8_t> message) override {
    heard.emplace_back(message.begin(), message.end());
    if (!failure.ok()) return failure;
    return news;
  }
  absl::StatusOr<CheckInReply> CheckIn(const CheckInReport&) override { return NotHere(); }
  absl::StatusOr<ModelPart> FetchModel(const Digest&, uint64_t) override { return NotHere(); }
  absl::StatusOr<std::vector<OfferedPiece>> PlanUpdate(const UpdateWish&) override { return NotHere(); }
  absl::StatusOr<Bytes> FetchUpdate(const std::string&, const Digest&, uint64_t) override { return NotHere(); }
  absl::StatusOr<OpenedUpload> OpenUpload(const std::string&, uint64_t, const Digest&) override { return NotHere(); }
  absl::Status PutUploadChunk(const std::string&, uint32_t, std::span<const uint8_t>) override { return NotHere(); }
  absl::Status CommitUpload(const std::string&, const Digest&) override { return NotHere(); }
  absl::Status DeclineRound(const std::string&, const std::string&) override { return NotHere(); }
  absl::StatusOr<std::string> RenewCertificate(const std::string&) override { return NotHere(); }

 private:
  static absl::Status NotHere() { return absl::UnimplementedError("not in this test"); }
};

class CellPerformerTest : public testing::Test {
 protected:
  CellPerformerTest() { Offer(ConfigOf(plan_, 3)); }

  void Offer(const secagg::SessionConfig& config) {
    const Bytes bytes = EncodeSessionConfig(config);
    link_.offer = {.cell = "t-1.1", .config = bytes, .signature = release_.Sign(SignPurpose::kSecAggConfig, bytes)};
  }
  CellPerformer Performer(const secagg::SessionPolicy& policy = {}) {
    return CellPerformer({.link = &link_, .payloads = &payloads_, .random = &random_, .books = &books_},
                         {.release_key = release_.verify_key(),
                          .policy = policy,
                          .identity = device_.identity(),
                          .verify_peer = secagg::ReadTestCertificate});
  }
  TakeCellSeat Seat() const {
    return {.order = CellOrder(), .plan = plan_, .parameters = kParameters, .ended_cell = {}};
  }
  CellJoined Join() {
    CellPerformer performer = Performer();
    const AgentEvent event = performer.TakeSeat(Seat());
    EXPECT_TRUE(std::holds_alternative<CellJoined>(event)) << event.index();
    return std::get<CellJoined>(event);
  }
  static ExchangeInCell Exchange(const CellJoined& joined) {
    return {.cell = joined.cell, .session = joined.session, .message = joined.message, .update = {}, .plan = {}};
  }
  // The refusal that `event` is.
  static absl::Status Refusal(const AgentEvent& event) {
    const auto* refused = std::get_if<CellRefused>(&event);
    EXPECT_NE(refused, nullptr) << "another event: " << event.index();
    return refused == nullptr ? absl::OkStatus() : refused->status;
  }

  TrainingPlan plan_ = CellPlan(SecureMode::kSemiHonest);
  const SigningKey release_ = SigningKey::Generate();
  secagg::TestDevice device_{"device-1"};
  SplitMix64 random_{1};
  KillSwitch never_;
  MemoryPayloads payloads_{&never_};
  MemoryCharges charges_{&never_};
  cell_fixture::StillClock clock_;
  PrivacyBooks books_{&charges_, &clock_, {.epsilon = 8, .delta = 1e-6}};
  ScriptedCell link_;
};

TEST_F(CellPerformerTest, ASeatIsKeptBeforeAnythingIsSaid) {
  const CellJoined joined = Join();
  EXPECT_EQ(joined.cell, "t-1.1");
  EXPECT_EQ(joined.min_inputs, 3u);
  EXPECT_TRUE(payloads_.files.contains(joined.session));
  EXPECT_TRUE(payloads_.files.contains(joined.message));
  EXPECT_THAT(link_.heard, IsEmpty());
  CellPerformer restarted = Performer();
  const AgentEvent event = restarted.Exchange(Exchange(joined));
  EXPECT_EQ(std::get<CellWaits>(event).ask_again_in, std::chrono::seconds(3));
  EXPECT_THAT(link_.heard, SizeIs(1));
  EXPECT_EQ(link_.heard[0], payloads_.files.at(joined.message));
}

TEST_F(CellPerformerTest, ACellThatTheReleaseKeyDidNotSignIsRefused) {
  const Bytes& config = link_.offer.config;
  link_.offer.signature = SigningKey::Generate().Sign(SignPurpose::kSecAggConfig, config);
  EXPECT_THAT(Refusal(Performer().TakeSeat(Seat())), HasStatus(absl::StatusCode::kUnauthenticated, "release key"));
  link_.offer.signature = release_.Sign(SignPurpose::kTrainingPlan, config);
  EXPECT_THAT(Refusal(Performer().TakeSeat(Seat())), HasStatus(absl::StatusCode::kUnauthenticated, "release key"));
  EXPECT_THAT(payloads_.files, IsEmpty());
}

TEST_F(CellPerformerTest, ACellThatIsNotTheOneOfThePlanIsRefused) {
  secagg::SessionConfig other = ConfigOf(plan_, 3);
  other.adversarial = 0;
  Offer(other);
  EXPECT_THAT(Refusal(Performer().TakeSeat(Seat())), HasStatus(absl::StatusCode::kFailedPrecondition, "adversarial"));
  const Bytes nonsense = {1, 2, 3};
  link_.offer.config = nonsense;
  link_.offer.signature = release_.Sign(SignPurpose::kSecAggConfig, nonsense);
  EXPECT_FALSE(Refusal(Performer().TakeSeat(Seat())).ok());
  EXPECT_THAT(payloads_.files, IsEmpty());
}

TEST_F(CellPerformerTest, ThePolicyOfTheOwnerHolds) {
  secagg::SessionPolicy policy;
  policy.min_cohort = 5;
  EXPECT_THAT(Refusal(Performer(policy).TakeSeat(Seat())),
              HasStatus(absl::StatusCode::kFailedPrecondition, "policy: cohort: expected at least 5, got 3"));
}

TEST_F(CellPerformerTest, NoSeatIsTakenThatCannotBePaidFor) {
  plan_ = CellPlan(SecureMode::kSemiHonest, 1);
  Offer(ConfigOf(plan_, 3));
  EXPECT_TRUE(std::holds_alternative<CellJoined>(Performer().TakeSeat(Seat())));
  EXPECT_THAT(charges_.charges, IsEmpty()) << "nothing has left yet";
  books_ = PrivacyBooks(&charges_, &clock_, {.epsilon = 2, .delta = 1e-6});
  payloads_.files.clear();
  const AgentEvent event = Performer().TakeSeat(Seat());
  ASSERT_TRUE(std::holds_alternative<PrivacyIsSpent>(event)) << event.index();
  EXPECT_THAT(std::get<PrivacyIsSpent>(event).status,
              HasStatus(absl::StatusCode::kResourceExhausted, "this device: the privacy limit stops this"));
  EXPECT_THAT(payloads_.files, IsEmpty());
}

TEST_F(CellPerformerTest, ACellWithLessNoiseThanThePlanIsRefused) {
  plan_ = CellPlan(SecureMode::kSemiHonest, 1);
  secagg::SessionConfig config = ConfigOf(plan_, 3);
  config.noise_multiplier = 0.5;
  Offer(config);
  EXPECT_THAT(Refusal(Performer().TakeSeat(Seat())),
              HasStatus(absl::StatusCode::kFailedPrecondition, "noise multiplier: the plan says 1, the cell 0.5"));
  config = ConfigOf(plan_, 3);
  config.scale *= 2;
  Offer(config);
  EXPECT_THAT(Refusal(Performer().TakeSeat(Seat())), HasStatus(absl::StatusCode::kFailedPrecondition, "scale"));
}

TEST_F(CellPerformerTest, ACellThatEndedForThisDeviceIsNotJoinedAgain) {
  TakeCellSeat seat = Seat();
  seat.ended_cell = "t-1.1";
  EXPECT_TRUE(std::holds_alternative<CellWaits>(Performer().TakeSeat(seat)));
  EXPECT_THAT(payloads_.files, IsEmpty());
}

TEST_F(CellPerformerTest, AFullDiskIsTriedAgainAndNothingIsSaid) {
  payloads_.full = true;
  EXPECT_THAT(std::get<StepFailed>(Performer().TakeSeat(Seat())).status,
              HasStatus(absl::StatusCode::kUnavailable, "no space"));
  EXPECT_THAT(link_.heard, IsEmpty());
}

TEST_F(CellPerformerTest, FailuresOfTheLinkAreTheSteps) {
  const CellJoined joined = Join();
  link_.failure = absl::NotFoundError("no such cell");
  EXPECT_THAT(std::get<StepFailed>(Performer().TakeSeat(Seat())).status, HasStatus(absl::StatusCode::kNotFound, ""));
  EXPECT_THAT(std::get<StepFailed>(Performer().Exchange(Exchange(joined))).status,
              HasStatus(absl::StatusCode::kNotFound, "no such cell"));
}

TEST_F(CellPerformerTest, LostOrDamagedFilesAreToldByName) {
  const CellJoined joined = Join();
  const Bytes session = payloads_.files.at(joined.session);
  payloads_.files[joined.session].pop_back();
  EXPECT_EQ(std::get<PayloadLost>(Performer().Exchange(Exchange(joined))).sha256, joined.session);
  payloads_.files[joined.session] = session;
  payloads_.files.erase(joined.message);
  EXPECT_EQ(std::get<PayloadLost>(Performer().Exchange(Exchange(joined))).sha256, joined.message);
  EXPECT_THAT(link_.heard, IsEmpty());
}

TEST_F(CellPerformerTest, MessagesThatMakeNoSenseAreRefusedAndTheSessionIsAsBefore) {
  const CellJoined joined = Join();
  CellPerformer performer = Performer();
  for (const Bytes& message : std::vector<Bytes>{{}, {0}, {77}, {1, 2, 3}, {2}, {4, 9}, {5}, {7, 7, 7}}) {
    link_.news = CellSays{message};
    EXPECT_FALSE(Refusal(performer.Exchange(Exchange(joined))).ok()) << testing::PrintToString(message);
  }
  EXPECT_THAT(payloads_.files, SizeIs(2));
  link_.news = CellQuiet{std::chrono::seconds(1)};
  EXPECT_TRUE(std::holds_alternative<CellWaits>(performer.Exchange(Exchange(joined))));
}

TEST_F(CellPerformerTest, WithoutASessionOnlyTheEndIsOfInterest) {
  const ExchangeInCell ask{.cell = "t-1.1", .session = {}, .message = {}, .update = {}, .plan = {}};
  link_.news = CellSays{{4, 4, 4}};
  EXPECT_EQ(std::get<CellWaits>(Performer().Exchange(ask)).ask_again_in, std::chrono::seconds(5));
  link_.news = CellEnded{.counted = true};
  EXPECT_TRUE(std::get<CellOver>(Performer().Exchange(ask)).counted);
  EXPECT_THAT(link_.heard, testing::Each(IsEmpty()));
}

}  // namespace
}  // namespace fleetune
