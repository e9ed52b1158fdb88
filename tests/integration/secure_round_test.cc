// Rounds with secure aggregation, real processes: sums only, whoever is killed.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;

class SecureRoundTest : public ::testing::TestWithParam<const char*> {
 protected:
  void Begin(int needed) {
    fleet.CreateTask({.devices = 4, .needed = needed, .secure_aggregation = GetParam()});
    for (const std::string& name : names) {
      fleet.AddDevice(name, SpeakerText(name));
      daemons.push_back(fleet.RunDevice(name));
    }
    id = fleet.StartRound();
  }
  // What the coordinator's round is doing in its newest cell; "" before there is one.
  std::string CellState() const {
    const nlohmann::json cells = fleet.Round(id).value("cells", nlohmann::json::array());
    return cells.empty() ? "" : cells.back().value("state", "");
  }
  void ExpectWholeRound(int devices) {
    const nlohmann::json round = fleet.AwaitRound(id);
    EXPECT_EQ(round.value("state", ""), "done") << round.dump(1);
    EXPECT_EQ(round.value("counted", 0), devices) << round.dump(1);
    // Every device has weight 1: a sum that counted one twice, lost one, or kept a mask would not weigh this.
    EXPECT_NEAR(round.value("total_weight", 0.0), devices, 1e-2) << round.dump(1);
    EXPECT_LT(round.value("mean_delta_norm", 1e9), 20.0);
  }

  LoopbackFleet fleet;
  const std::vector<std::string> names = {"romeo", "juliet", "nurse", "mercutio"};
  std::vector<Background> daemons;
  std::string id;
};

TEST_P(SecureRoundTest, FourDevicesMakeAVersionOfTheirSum) {
  Begin(4);
  ExpectWholeRound(4);
  const nlohmann::json round = fleet.Round(id);
  ASSERT_EQ(round.at("cells").size(), 1u) << round.dump(1);
  EXPECT_EQ(round.at("cells")[0].value("state", ""), "finished");
  EXPECT_THAT(fleet.AdminJson({"task", "show", "t"}).dump(), HasSubstr("sees sums of at least 3 updates"));
  EXPECT_TRUE(Eventually([&] { return fleet.Device("romeo", {"audit"}).output.find("counted") != std::string::npos; }));
  EXPECT_THAT(fleet.Device("romeo", {"audit"}).output, HasSubstr("masked"));
}

TEST_P(SecureRoundTest, CoordinatorAndDevicesAreKilledInACell) {
  Begin(4);
  ASSERT_TRUE(Eventually([&] { return !CellState().empty(); })) << fleet.Log("romeo");
  for (size_t kill = 0; kill < 4; ++kill) {
    fleet.coordinator().KillHard();
    daemons[kill].KillHard();
    fleet.Serve();
    daemons[kill] = fleet.RunDevice(names[kill]);
    const std::string before = CellState();
    ASSERT_TRUE(Eventually([&] { return CellState() != before || fleet.Round(id).value("state", "") == "done"; }));
  }
  ExpectWholeRound(4);
}

TEST_P(SecureRoundTest, ADeviceThatNeverComesBackCostsOnlyItsUpdate) {
  Begin(3);
  ASSERT_TRUE(Eventually([&] { return CellState() == "seating" || CellState() == "sharing keys"; }));
  daemons[3].KillHard();
  ExpectWholeRound(3);
}

INSTANTIATE_TEST_SUITE_P(Modes, SecureRoundTest, ::testing::Values("semi-honest", "malicious"),
                         [](const auto& mode) { return std::string(mode.param) == "malicious" ? "M" : "H"; });

}  // namespace
}  // namespace fleetune
