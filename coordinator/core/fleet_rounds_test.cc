#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

class FleetRoundsTest : public ::testing::Test {
 protected:
  FleetRoundsTest() {
    small.AddTask();
    for (int i = 0; i < 3; ++i) devices.push_back(small.AddDevice());
  }
  RoundView View(const std::string& round) { return *small.fleet->Round(round); }
  void Send(const std::string& device, const std::string& round, float value, double weight = 1.0) {
    EXPECT_EQ(small.CheckIn(device), round);
    EXPECT_THAT(small.Send(device, round, SmallFleet::Update(value, weight, round)), IsOk());
  }

  SmallFleet small;
  std::vector<std::string> devices;
};

TEST_F(FleetRoundsTest, ThreeUpdatesMakeAVersion) {
  const std::string round = small.StartRound();
  EXPECT_EQ(round, "home-1");
  EXPECT_EQ(small.fleet->Tasks("home")->front().open_round, round);
  Send(devices[0], round, 0.01f);
  Send(devices[1], round, 0.03f);
  EXPECT_EQ(View(round).state, "collecting");
  Send(devices[2], round, 0.05f);

  const RoundView view = View(round);
  EXPECT_EQ(view.state, "done");
  EXPECT_EQ(view.made_version, 1u);
  EXPECT_EQ(view.counted, 3u);
  EXPECT_NEAR(view.total_weight, 3.0, 1e-4);
  EXPECT_NEAR(view.mean_delta_norm, 0.03 * 8, 1e-3);  // 64 values of 0.03
  EXPECT_TRUE(view.ended.has_value());
  const TaskView task = small.fleet->Tasks("home")->front();
  EXPECT_EQ(task.head_version, 1u);
  EXPECT_EQ(task.released_version, 1u);
  EXPECT_EQ(task.rounds_finished, 1u);
  EXPECT_EQ(task.open_round, "");
  const absl::StatusOr<Adapter> adapter = small.fleet->VersionAdapter("home", 1);
  ASSERT_THAT(adapter, IsOk());
  for (const float value : adapter->b()) EXPECT_NEAR(value, 0.03f, 1e-3f);
  EXPECT_TRUE(small.memory.tables().sums.empty());
}

TEST_F(FleetRoundsTest, WeightsWeigh) {
  const std::string round = small.StartRound();
  Send(devices[0], round, 0.04f, 0.75);
  Send(devices[1], round, 0.00f, 0.25);
  Send(devices[2], round, 0.00f, 0.0);
  for (const Adapter adapter = *small.fleet->VersionAdapter("home", 1); const float value : adapter.b())
    EXPECT_NEAR(value, 0.03f, 1e-3f);
}

TEST_F(FleetRoundsTest, TheNextRoundGoesOnFromTheVersionBefore) {
  small.RunRound(devices, 0.02f);
  small.RunRound(devices, 0.02f);
  EXPECT_EQ(View("home-2").from_version, 1u);
  EXPECT_EQ(View("home-2").made_version, 2u);
  for (const Adapter adapter = *small.fleet->VersionAdapter("home", 2); const float value : adapter.b())
    EXPECT_NEAR(value, 0.04f, 1e-3f);
}

TEST_F(FleetRoundsTest, RoundingErrorsAreCarriedNotLost) {
  for (int i = 0; i < 20; ++i) small.RunRound(devices, 0.001f);
  EXPECT_EQ(small.memory.tables().server_states.at("home").version, 20u);
  for (const Adapter adapter = *small.fleet->VersionAdapter("home", 20); const float value : adapter.b())
    EXPECT_NEAR(value, 0.02f, 2e-4f);
}

TEST_F(FleetRoundsTest, AtTheDeadlineEnoughUpdatesMakeAVersion) {
  const std::string round = small.StartRound();
  Send(devices[0], round, 0.01f);
  Send(devices[1], round, 0.01f);
  small.clock.now += std::chrono::seconds(600) - std::chrono::milliseconds(1);
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  EXPECT_EQ(View(round).state, "collecting");
  small.clock.now += std::chrono::milliseconds(1);
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  EXPECT_EQ(View(round).state, "done");
}

// A task whose rounds wait only so long for the others.
TEST(FleetLingerTest, ARoundWithEnoughUpdatesWaitsOnlySoLongForTheOthers) {
  SmallFleet small;
  small.AddTask(SmallTask("linger_seconds = 30\n"));
  std::vector<std::string> devices;
  for (int i = 0; i < 3; ++i) devices.push_back(small.AddDevice());
  const std::string round = small.StartRound();
  const TimePoint deadline = small.fleet->Round(round)->deadline;
  for (const std::string& device : devices) ASSERT_EQ(small.CheckIn(device), round);
  const auto send = [&](const std::string& device) {
    EXPECT_THAT(small.Send(device, round, SmallFleet::Update(0.01f, 1.0, round)), IsOk());
    EXPECT_THAT(small.fleet->Tick(), IsOk());
  };
  send(devices[0]);
  EXPECT_EQ(small.fleet->Round(round)->deadline, deadline);
  small.clock.now += std::chrono::seconds(100);
  send(devices[1]);
  const TimePoint sooner = small.clock.now + std::chrono::seconds(30);
  EXPECT_EQ(small.fleet->Round(round)->deadline, sooner);
  // Also after a crash, and however often it is looked at.
  small.clock.now = sooner - std::chrono::milliseconds(1);
  small.Reopen();
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  EXPECT_EQ(small.fleet->Round(round)->state, "collecting");
  EXPECT_EQ(small.fleet->Round(round)->deadline, sooner);
  small.clock.now = sooner;
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  EXPECT_EQ(small.fleet->Round(round)->state, "done");
  EXPECT_EQ(small.fleet->Round(round)->counted, 2u);
  EXPECT_EQ(small.fleet->Round(round)->deadline, sooner);
}

TEST_F(FleetRoundsTest, AtTheDeadlineTooFewUpdatesAbort) {
  const std::string round = small.StartRound();
  Send(devices[0], round, 0.01f);
  small.clock.now += std::chrono::seconds(600);
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  EXPECT_EQ(View(round).state, "aborted");
  EXPECT_EQ(View(round).reason, "the deadline passed with 1 of 2 needed updates");
  EXPECT_EQ(small.fleet->Tasks("home")->front().head_version, 0u);
  EXPECT_TRUE(small.memory.tables().sums.empty());
  EXPECT_EQ(small.StartRound(), "home-2");
}

TEST_F(FleetRoundsTest, ASumWithoutWeightAbortsTheRound) {
  const std::string round = small.StartRound();
  for (const std::string& device : devices) Send(device, round, 0.01f, 0.0);
  EXPECT_EQ(View(round).state, "aborted");
  EXPECT_NE(View(round).reason.find("the sum cannot be used"), std::string::npos);
  EXPECT_EQ(small.fleet->Tasks("home")->front().open_round, "");
}

TEST_F(FleetRoundsTest, AClosingThatFailsIsMadeUpByATick) {
  const std::string round = small.StartRound();
  Send(devices[0], round, 0.01f);
  Send(devices[1], round, 0.01f);
  ASSERT_EQ(small.CheckIn(devices[2]), round);
  const Bytes update = SmallFleet::Update(0.01f);
  ASSERT_THAT(small.fleet->OpenUpload(devices[2], round, update.size(), Sha256(update)), IsOk());
  ASSERT_THAT(small.fleet->PutUploadChunk(devices[2], round, 0, update), IsOk());
  const uint64_t commit = small.faulty.writes;
  small.faulty.fault = [&](uint64_t write) { return write == commit ? WriteFault::kNone : WriteFault::kLost; };
  ASSERT_THAT(small.fleet->CommitUpload(devices[2], round, Sha256(update)), IsOk());
  small.faulty.fault = [](uint64_t) { return WriteFault::kNone; };
  EXPECT_EQ(View(round).state, "collecting");
  EXPECT_EQ(View(round).counted, 3u);
  small.Reopen();
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  EXPECT_EQ(View(round).state, "done");
  EXPECT_EQ(View(round).made_version, 1u);
}

TEST_F(FleetRoundsTest, OneRoundOfATaskAtATime) {
  const std::string round = small.StartRound();
  EXPECT_THAT(small.fleet->StartRound("ann", "home"), HasStatus(kPrecondition, round));
  ASSERT_THAT(small.fleet->AbortRound("ann", round, "enough"), IsOk());
  EXPECT_EQ(small.StartRound(), "home-2");
}

TEST_F(FleetRoundsTest, APausedTaskStartsNone) {
  ASSERT_THAT(small.fleet->PauseTask("ann", "home", true), IsOk());
  EXPECT_THAT(small.fleet->StartRound("ann", "home"), HasStatus(kPrecondition, "paused"));
  ASSERT_THAT(small.fleet->PauseTask("ann", "home", false), IsOk());
  EXPECT_THAT(small.fleet->StartRound("ann", "home"), IsOk());
  EXPECT_THAT(small.fleet->StartRound("ann", "work"), HasStatus(absl::StatusCode::kNotFound, "work"));
}

TEST_F(FleetRoundsTest, AnOperatorAborts) {
  const std::string round = small.StartRound();
  EXPECT_THAT(small.fleet->AbortRound("ann", round, std::string(257, 'r')),
              HasStatus(absl::StatusCode::kInvalidArgument, "reason"));
  const absl::StatusOr<RoundView> aborted = small.fleet->AbortRound("ann", round, "wrong data");
  ASSERT_THAT(aborted, IsOk());
  EXPECT_EQ(aborted->state, "aborted");
  EXPECT_EQ(aborted->reason, "aborted by admin:ann: wrong data");
  EXPECT_THAT(small.fleet->AbortRound("ann", round, ""), HasStatus(kPrecondition, "is over"));
  EXPECT_THAT(small.fleet->AbortRound("ann", "home-7", ""), HasStatus(absl::StatusCode::kNotFound, "home-7"));
}

TEST_F(FleetRoundsTest, ARevokedDevicesPlaceGoesToAnother) {
  const std::string round = small.StartRound();
  for (const std::string& device : devices) ASSERT_EQ(small.CheckIn(device), round);
  const std::string fourth = small.AddDevice();
  EXPECT_EQ(small.CheckIn(fourth), "");
  ASSERT_THAT(small.fleet->RevokeDevice("ann", devices[1]), IsOk());
  EXPECT_EQ(small.CheckIn(fourth), round);
  EXPECT_EQ(View(round).declined, 1u);
}

TEST_F(FleetRoundsTest, ListsRoundsNewestFirst) {
  small.RunRound(devices, 0.01f);
  small.clock.now += std::chrono::seconds(1);
  small.StartRound();
  const std::vector<RoundView> rounds = small.fleet->Rounds("home");
  ASSERT_EQ(rounds.size(), 2u);
  EXPECT_EQ(rounds[0].id, "home-2");
  EXPECT_EQ(rounds[0].state, "collecting");
  EXPECT_EQ(rounds[1].state, "done");
  EXPECT_TRUE(rounds[1].devices.empty());
  EXPECT_EQ(small.fleet->Rounds("").size(), 2u);
  EXPECT_TRUE(small.fleet->Rounds("work").empty());
  EXPECT_THAT(small.fleet->Round("home-9"), HasStatus(absl::StatusCode::kNotFound, "home-9"));
}

TEST(FleetFedAdamTest, KeepsItsMomentsFromRoundToRound) {
  SmallFleet once;
  SmallFleet crashing;
  for (SmallFleet* small : {&once, &crashing}) {
    small->AddTask(SmallTask("[server]\noptimizer = \"fedadam\"\nlearning_rate = 0.1\n"));
    const std::vector<std::string> devices = {small->AddDevice(), small->AddDevice(), small->AddDevice()};
    for (int i = 0; i < 3; ++i) {
      small->RunRound(devices, 0.01f);
      if (small == &crashing) small->Reopen();
    }
  }
  EXPECT_EQ(once.fleet->Versions("home")->back().hash, crashing.fleet->Versions("home")->back().hash);
}

}  // namespace
}  // namespace fleetune
