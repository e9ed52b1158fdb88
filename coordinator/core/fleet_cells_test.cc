#include <memory>
#include <utility>
#include <vector>

#include "aggregation/encode/lanes.h"
#include "coordinator/core/fleet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/cell_device.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;

std::string SecureTask(const std::string& mode, uint32_t invited, const std::string& more_lines) {
  std::string toml = SmallTask();
  toml.replace(toml.find("\"off\""), 5, '"' + mode + '"');
  toml.replace(toml.find("invited = 3\nneeded = 2"), 22, "invited = " + std::to_string(invited) + "\nneeded = 3");
  return toml +
         "[secure]\nseat_seconds = 10\nshare_seconds = 10\ninput_seconds = 10\nview_seconds = 10\n"
         "unmask_seconds = 10\n" +
         more_lines;
}

class FleetCellsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void Begin(const std::string& more_lines = "", size_t count = 5) {
    small.AddTask(SecureTask(GetParam(), invited, more_lines));
    for (size_t i = 0; i < count; ++i) devices.push_back(std::make_unique<CellDevice>(small));
    round = small.StartRound();
    for (const auto& device : devices) ASSERT_EQ(small.CheckIn(device->id()), round);
    counted.resize(count);
  }
  // What a device adds: like an encoded update, small.
  RingVector Input(size_t device) const {
    TrainingPlan plan;
    plan.task = "home";
    plan.encoding = {.lane_bits = 32, .max_inputs = invited};
    const UpdateEncoder encoder = UpdateEncoder::Create(UpdateOptions(plan, SmallFleet::kParameters, round).value()).value();
    SplitMix64 rounding(device);
    const std::vector<float> values(SmallFleet::kParameters, 0.01f * static_cast<float>(device + 1));
    return encoder.Encode({.values = values, .weight = 1}, rounding)->ring;
  }
  // Steps of these devices in turn until none of them has anything to do.
  void Run(const std::vector<size_t>& active, int turns = 40) {
    for (int turn = 0; turn < turns; ++turn) {
      for (const size_t i : active) {
        if (counted[i]) continue;
        const absl::StatusOr<bool> done = devices[i]->Step(*small.fleet, round, Input(i), small.random);
        if (done.ok() && *done) counted[i] = true;
        last_status = done.status();
      }
    }
  }
  void PassTime(int seconds) {
    small.clock.now += std::chrono::seconds(seconds);
    ASSERT_THAT(small.fleet->Tick(), IsOk());
  }
  RoundView View() { return *small.fleet->Round(round); }
  std::string CellState() {
    const RoundView view = View();
    return view.cells.empty() ? "" : view.cells.front().state;
  }
  // The mean of these devices' values, which are constant.
  void ExpectMeanOf(const std::vector<size_t>& members) {
    double mean = 0;
    for (const size_t i : members) mean += 0.01 * static_cast<double>(i + 1) / static_cast<double>(members.size());
    const RoundView view = View();
    ASSERT_EQ(view.state, "done") << view.reason;
    EXPECT_EQ(view.counted, members.size());
    EXPECT_NEAR(view.mean_delta_norm, mean * 8, 1e-4);  // 64 values
    EXPECT_NEAR(view.total_weight, static_cast<double>(members.size()), 1e-6);
  }

  uint32_t invited = 5;
  SmallFleet small;
  std::vector<std::unique_ptr<CellDevice>> devices;
  std::vector<bool> counted;
  std::string round;
  absl::Status last_status;
};

TEST_P(FleetCellsTest, FiveDevicesMakeAVersionOfTheirSum) {
  Begin();
  Run({0, 1, 2, 3, 4});
  EXPECT_THAT(counted, testing::Each(true));
  ExpectMeanOf({0, 1, 2, 3, 4});
  const RoundView view = View();
  ASSERT_EQ(view.cells.size(), 1u);
  EXPECT_EQ(view.cells[0].state, "finished");
  EXPECT_EQ(view.cells[0].counted, 5u);
  EXPECT_TRUE(small.memory.tables().sums.empty());
  EXPECT_TRUE(small.memory.tables().uploads.empty());
  EXPECT_TRUE(small.memory.tables().cell_events.empty());
}

TEST_P(FleetCellsTest, TheCellClosesByTimeWithoutTheMissing) {
  Begin();
  Run({0, 1, 2, 3}, 5);
  EXPECT_EQ(View().cells.at(0).state, "seating");
  PassTime(11);
  Run({0, 1, 2, 3});
  ExpectMeanOf({0, 1, 2, 3});  // one place is left: no sum can be made of it, so the round ends
}

TEST_P(FleetCellsTest, ADeviceThatVanishesWithItsInputInTheSumIsCounted) {
  Begin();
  Run({0, 1, 2, 3, 4}, 2);
  PassTime(1);
  for (int turn = 0; turn < 40 && View().cells.at(0).state != "unmasking"; ++turn) Run({0, 1, 2, 3, 4}, 1);
  ASSERT_EQ(View().cells.at(0).state, "unmasking");
  Run({0, 1, 2, 3});
  PassTime(11);
  ExpectMeanOf({0, 1, 2, 3, 4});
}

TEST_P(FleetCellsTest, AFailedCellCostsOnlyAnAttempt) {
  Begin();
  Run({0, 1, 2, 3, 4}, 2);  // seated, and the roster is closed
  ASSERT_EQ(View().cells.at(0).state, "sharing keys");
  Run({0, 1}, 3);
  PassTime(11);  // two of five shared: too few
  EXPECT_EQ(View().cells.at(0).state, "failed");
  Run({0, 1, 2, 3, 4});
  ExpectMeanOf({0, 1, 2, 3, 4});
  EXPECT_EQ(View().cells.size(), 2u);
}

TEST_P(FleetCellsTest, ARoundEndsWhenNoFurtherCellCanBeMade) {
  Begin("cell_devices = 3\n");
  Run({0, 1, 2});
  ExpectMeanOf({0, 1, 2});  // two places are left, and no cell of two is made
}

TEST_P(FleetCellsTest, TheSumsOfCellsAreAdded) {
  invited = 6;
  Begin("cell_devices = 3\n", 6);
  Run({0, 1, 2});
  EXPECT_EQ(View().counted, 3u);
  EXPECT_EQ(View().state, "collecting");
  Run({3, 4, 5});
  ExpectMeanOf({0, 1, 2, 3, 4, 5});
  EXPECT_EQ(View().cells.size(), 2u);
}

TEST_P(FleetCellsTest, SurvivesKillsOfTheCoordinatorAndOfDevices) {
  Begin();
  for (int turn = 0; turn < 60; ++turn) {
    small.Reopen();
    for (const auto& device : devices) device->Restart();
    Run({0, 1, 2, 3, 4}, 1);
  }
  ExpectMeanOf({0, 1, 2, 3, 4});
}

TEST_P(FleetCellsTest, OnlyDevicesWithAPlaceTakeSeats) {
  Begin();
  CellDevice stranger(small);
  EXPECT_THAT(small.fleet->TakeSeat(stranger.id(), round), HasStatus(kPrecondition, "holds no place"));
  ASSERT_THAT(small.fleet->DeclineRound(devices[0]->id(), round, "busy"), IsOk());
  EXPECT_THAT(small.fleet->TakeSeat(devices[0]->id(), round), HasStatus(kPrecondition, "holds no place"));
  EXPECT_THAT(small.fleet->TakeSeat(devices[1]->id(), "home-9"), HasStatus(absl::StatusCode::kNotFound, "home-9"));
}

TEST_P(FleetCellsTest, AnUpdateThatIsNotMaskedIsRefused) {
  Begin();
  const Bytes update = PackLanes(Input(0), LaneBits::k32);
  EXPECT_THAT(small.fleet->OpenUpload(devices[0]->id(), round, update.size(), Sha256(update)),
              HasStatus(kPrecondition, "masked updates only"));
}

TEST_P(FleetCellsTest, AnAbortedRoundEndsItsCells) {
  Begin();
  Run({0, 1, 2, 3, 4}, 2);
  const std::string cell = devices[0]->cell();
  ASSERT_THAT(small.fleet->AbortRound("ann", round, "wrong data"), IsOk());
  EXPECT_EQ(View().cells.at(0).state, "failed");
  EXPECT_EQ(View().cells.at(0).reason, "the round ended");
  EXPECT_TRUE(small.memory.tables().cell_events.empty());
  Run({0}, 1);  // is told that it is over
  EXPECT_FALSE(devices[0]->seated());
  EXPECT_THAT(small.fleet->OpenUpload(devices[0]->id(), cell, 100, {}), HasStatus(kPrecondition, "is over"));
}

TEST_P(FleetCellsTest, TheDeadlineEndsWhatIsUnfinished) {
  Begin();
  Run({0, 1, 2, 3, 4}, 3);
  PassTime(601);
  EXPECT_EQ(View().state, "aborted");
  EXPECT_EQ(View().cells.at(0).state, "failed");
}

TEST_P(FleetCellsTest, TheDeadlineOpensASumThatCanBeOpened) {
  Begin();
  PassTime(595);
  for (int turn = 0; turn < 40 && CellState() != "unmasking"; ++turn) Run({0, 1, 2, 3, 4}, 1);
  Run({0, 1, 2, 3});
  EXPECT_EQ(CellState(), "unmasking");  // waits for the fifth
  PassTime(6);
  ExpectMeanOf({0, 1, 2, 3, 4});
}

TEST_P(FleetCellsTest, ARoundDoesNotEndWhileTheDiskKeepsItsCellFromOpening) {
  Begin();
  PassTime(595);
  for (int turn = 0; turn < 40 && CellState() != "unmasking"; ++turn) Run({0, 1, 2, 3, 4}, 1);
  Run({0, 1, 2, 3});
  small.clock.now += std::chrono::seconds(6);
  bool failed = false;
  small.faulty.fault = [&failed](uint64_t) {
    return std::exchange(failed, true) ? WriteFault::kNone : WriteFault::kLost;
  };
  EXPECT_FALSE(small.fleet->Tick().ok());
  PassTime(1);
  ExpectMeanOf({0, 1, 2, 3, 4});
}

TEST_P(FleetCellsTest, WhoseUpdateIsInACellsSumKeepsItsPlace) {
  Begin();
  for (int turn = 0; turn < 40 && CellState() != "collecting"; ++turn) Run({0, 1, 2, 3, 4}, 1);
  for (int turn = 0; turn < 5 && View().cells.at(0).counted == 0; ++turn) Run({0}, 1);
  EXPECT_THAT(small.fleet->DeclineRound(devices[0]->id(), round, "busy"), HasStatus(kPrecondition, "is in the sum"));
  Run({0, 1, 2, 3, 4});
  ExpectMeanOf({0, 1, 2, 3, 4});
}

TEST_P(FleetCellsTest, WhoGaveItsPlaceAwayAddsNothing) {
  Begin();
  for (int turn = 0; turn < 40 && CellState() != "collecting"; ++turn) Run({0, 1, 2, 3, 4}, 1);
  ASSERT_THAT(small.fleet->DeclineRound(devices[0]->id(), round, "busy"), IsOk());
  EXPECT_THAT(small.fleet->OpenUpload(devices[0]->id(), devices[0]->cell(), 100, {}),
              HasStatus(kPrecondition, "gave its place"));
  Run({0, 1, 2, 3, 4});
  PassTime(11);
  Run({1, 2, 3, 4});
  ExpectMeanOf({1, 2, 3, 4});
}

INSTANTIATE_TEST_SUITE_P(Modes, FleetCellsTest, testing::Values("semi-honest", "malicious"),
                         [](const auto& mode) { return std::string(mode.param) == "malicious" ? "M" : "H"; });

TEST(FleetWithoutCellsTest, ATaskThatIsOffHasNoSeats) {
  SmallFleet small;
  small.AddTask();
  const std::string device = small.AddDevice();
  const std::string round = small.StartRound();
  ASSERT_EQ(small.CheckIn(device), round);
  EXPECT_THAT(small.fleet->TakeSeat(device, round), HasStatus(kPrecondition, "without secure aggregation"));
}

}  // namespace
}  // namespace fleetune
