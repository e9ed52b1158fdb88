// Rounds with differential privacy, real processes: both sides keep the same books, and limits end what they should.

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;

class PrivacyRoundTest : public ::testing::Test {
 protected:
  // One cell costs epsilon 2.4, two 3.5, three 4.4.
  void Begin(int needed, const std::string& limit_of_nurse) {
    fleet.CreateTask({.devices = 4,
                      .needed = needed,
                      .secure_aggregation = "semi-honest",
                      .privacy = "noise_multiplier = 2.0\ndevice_epsilon_limit = 4.0\n"});
    for (const std::string& name : names) {
      fleet.AddDevice(name, SpeakerText(name), name == "nurse" ? limit_of_nurse : "");
      daemons.push_back(fleet.RunDevice(name));
    }
  }
  nlohmann::json RunRound() const { return fleet.AwaitRound(fleet.StartRound()); }
  nlohmann::json TaskPrivacy() const { return fleet.AdminJson({"task", "show", "t"}).at("privacy"); }
  double Spent(const std::string& device) const { return fleet.DeviceStatus(device).at("spent").at("epsilon"); }

  LoopbackFleet fleet;
  const std::vector<std::string> names = {"romeo", "juliet", "nurse", "mercutio"};
  std::vector<Background> daemons;
};

TEST_F(PrivacyRoundTest, BothSidesShowWhatIsSpentAndTheTasksLimitEndsTheRounds) {
  Begin(4, "");
  EXPECT_THAT(fleet.Admin({"task", "show", "t"}).output, HasSubstr("noise of 2 times the most that one device adds"));
  double before = 0;
  for (int round = 1; round <= 2; ++round) {
    const nlohmann::json made = RunRound();
    ASSERT_EQ(made.value("state", ""), "done") << made.dump(1);
    EXPECT_EQ(made.value("charged_cells", 0), 1) << made.dump(1);
    EXPECT_NEAR(made.value("total_weight", 0.0), 4, 1e-9) << "weights have no noise";
    const double epsilon = TaskPrivacy().at("epsilon");
    EXPECT_GT(epsilon, before);
    EXPECT_EQ(made.at("privacy").at("epsilon"), epsilon);
    for (const std::string& name : names) EXPECT_NEAR(Spent(name), epsilon, 1e-9) << name;
    before = epsilon;
  }
  const Finished refused = fleet.Admin({"round", "start", "t"});
  EXPECT_NE(refused.exit_code, 0);
  EXPECT_THAT(refused.errors, HasSubstr("no further round starts: a device has spent epsilon"));
  EXPECT_THAT(fleet.Admin({"task", "show", "t"}).output, HasSubstr("no further round starts"));
  EXPECT_THAT(fleet.Device("romeo", {"status"}).output, HasSubstr("is spent in 2 cells"));
  EXPECT_THAT(fleet.Device("romeo", {"audit"}).output, HasSubstr("with noise of 2 times the most that one device adds"));
}

TEST_F(PrivacyRoundTest, ADevicesOwnLimitEndsItsParticipation) {
  Begin(3, "[privacy]\nepsilon_limit = 3.0\n");
  const nlohmann::json first = RunRound();
  ASSERT_EQ(first.value("state", ""), "done") << first.dump(1);
  ASSERT_TRUE(Eventually([&] { return fleet.DeviceStatus("nurse").at("round").is_null(); }));
  const bool took_part = Spent("nurse") > 0;
  const nlohmann::json second = RunRound();
  ASSERT_EQ(second.value("state", ""), "done") << second.dump(1);
  if (took_part) {
    EXPECT_EQ(second.value("counted", 0), 3) << second.dump(1);
    EXPECT_THAT(second.dump(), HasSubstr("this device: the privacy limit stops this"));
    EXPECT_LE(Spent("nurse"), 3);
  }
  EXPECT_GT(Spent("romeo"), Spent("nurse"));
}

}  // namespace
}  // namespace fleetune
