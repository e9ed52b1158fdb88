// The main job with real processes: rounds, releases, rollback, healing, what a person sees.

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string VersionHash(const LoopbackFleet& fleet, int version) {
  const nlohmann::json versions = fleet.AdminJson({"adapter", "list", "t"});
  for (const nlohmann::json& entry : versions.at("versions")) {
    if (entry.at("version") == version) return entry.at("hash");
  }
  return "none";
}

bool DeviceHolds(const LoopbackFleet& fleet, const std::string& device, int version) {
  const nlohmann::json status = fleet.DeviceStatus(device);
  for (const nlohmann::json& task : status.value("tasks", nlohmann::json::array())) {
    if (task.value("task", "") == "t" && task.value("version", -1) == version) {
      return task.value("hash", "") == VersionHash(fleet, version);
    }
  }
  return false;
}

void FinishRound(const LoopbackFleet& fleet, int version, const std::vector<std::string>& devices) {
  const nlohmann::json round = fleet.AwaitRound(fleet.StartRound());
  ASSERT_EQ(round.value("state", ""), "done") << round.dump(1);
  ASSERT_EQ(round.value("made_version", 0), version);
  for (const std::string& device : devices) {
    EXPECT_TRUE(Eventually([&] { return DeviceHolds(fleet, device, version); })) << device << " at " << version;
  }
}

TEST(RoundTest, RoundsReleaseRollbackAndHealing) {
  LoopbackFleet fleet;
  fleet.CreateTask({});
  fleet.AddDevice("romeo", SpeakerText("romeo"));
  fleet.AddDevice("juliet", SpeakerText("juliet"));
  {
    Background romeo = fleet.RunDevice("romeo");
    Background juliet = fleet.RunDevice("juliet");
    FinishRound(fleet, 1, {"romeo", "juliet"});
    FinishRound(fleet, 2, {"romeo", "juliet"});

    EXPECT_EQ(fleet.Admin({"adapter", "rollback", "t"}).exit_code, 0);
    EXPECT_TRUE(Eventually([&] { return DeviceHolds(fleet, "romeo", 1); })) << fleet.Log("romeo");
    EXPECT_EQ(romeo.Terminate(), 0) << fleet.Log("romeo");
    EXPECT_EQ(juliet.Terminate(), 0) << fleet.Log("juliet");
  }

  // Damage romeo's adapters: it heals by a snapshot.
  for (const auto& entry : std::filesystem::recursive_directory_iterator(fleet.DeviceFolder("romeo") + "/adapters")) {
    if (!entry.is_regular_file()) continue;
    std::fstream file(entry.path(), std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(-1, std::ios::end);
    file.put('\x55');
  }
  Background romeo = fleet.RunDevice("romeo");
  EXPECT_TRUE(Eventually([&] { return DeviceHolds(fleet, "romeo", 1); })) << fleet.Log("romeo");

  // Neither logs nor the wire's books hold training text; the device says in words what left it.
  EXPECT_THAT(fleet.Log("romeo") + fleet.Log("juliet") + fleet.Log("coordinator"), Not(HasSubstr("sad hours")));
  EXPECT_THAT(fleet.Device("juliet", {"audit"}).output, HasSubstr("bytes"));
  EXPECT_THAT(fleet.Admin({"audit"}).output, HasSubstr("rollback"));
}

TEST(RoundTest, AnswersOfflineWithTheReleasedAdapter) {
  LoopbackFleet fleet;
  fleet.CreateTask(
      {.devices = 1, .needed = 1, .training = "epochs = 1\nlearning_rate = 0.01\nsequence_length = 128\n"});
  fleet.AddDevice("romeo", SpeakerText("romeo"));
  Background romeo = fleet.RunDevice("romeo");
  FinishRound(fleet, 1, {"romeo"});
  fleet.coordinator().KillHard();
  romeo.KillHard();
  const Finished with = fleet.Device("romeo", {"generate", "--max-tokens", "20", "What light"});
  const Finished without = fleet.Device("romeo", {"generate", "--base", "--max-tokens", "20", "What light"});
  EXPECT_EQ(with.exit_code, 0) << with.errors;
  EXPECT_EQ(without.exit_code, 0) << without.errors;
  EXPECT_NE(with.output, without.output);
}

TEST(RoundTest, AbortedRoundMakesNoVersion) {
  LoopbackFleet fleet;
  fleet.CreateTask({});
  const std::string id = fleet.StartRound();
  EXPECT_EQ(fleet.Admin({"round", "abort", id, "--reason", "trial"}).exit_code, 0);
  const nlohmann::json round = fleet.Round(id);
  EXPECT_EQ(round.value("state", ""), "aborted");
  EXPECT_EQ(round.value("made_version", -1), 0);
}

}  // namespace
}  // namespace fleetune
