// What is trained besides B over the seed's A, with real processes: factors in turn, refactored versions, a device of
// smaller rank; in the clear and under both profiles of secure aggregation.

#include <filesystem>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;

constexpr const char* kTargets = "targets = [\"q\", \"v\"]\n";

class VariantsTest : public ::testing::TestWithParam<const char*> {
 protected:
  void Begin(const std::string& adapter, const std::string& server, const std::string& last_device = "") {
    fleet.CreateTask({.devices = 3,
                      .needed = 3,
                      .adapter = adapter + kTargets,
                      .secure_aggregation = GetParam(),
                      .server = server});
    for (const std::string& name : names) {
      fleet.AddDevice(name, SpeakerText(name), name == names.back() ? last_device : "");
      daemons.push_back(fleet.RunDevice(name));
    }
  }
  std::string VersionHash(int version) const {
    const nlohmann::json versions = fleet.AdminJson({"adapter", "list", "t"});
    for (const nlohmann::json& entry : versions.at("versions")) {
      if (entry.at("version") == version) return entry.at("hash");
    }
    return "none";
  }
  bool Holds(const std::string& device, int version) const {
    for (const nlohmann::json& task : fleet.DeviceStatus(device).value("tasks", nlohmann::json::array())) {
      if (task.value("version", -1) == version) return task.value("hash", "") == VersionHash(version);
    }
    return false;
  }
  void ExpectAllHold(int version) const {
    for (const std::string& name : names) {
      EXPECT_TRUE(Eventually([&] { return Holds(name, version); })) << name << " at " << version << fleet.Log(name);
    }
  }
  void FinishRound(int version) const {
    const nlohmann::json round = fleet.AwaitRound(fleet.StartRound());
    ASSERT_EQ(round.value("state", ""), "done") << round.dump(1);
    ASSERT_EQ(round.value("made_version", 0), version);
    EXPECT_EQ(round.value("counted", 0), 3);
    EXPECT_GT(round.value("mean_delta_norm", 0.0), 0.0);
    ExpectAllHold(version);
  }
  // On texts that one device trains on; version 0 is the base model.
  double Loss(int version) const {
    std::vector<std::string> arguments = {"perplexity", "--model", StoriesModel(), "--data", SpeakerText("romeo"),
                                          "--json"};
    if (version > 0) arguments.insert(arguments.end(), {"--adapter", Exported(version)});
    const Finished measured = RunProgram("fleetune-model", arguments);
    EXPECT_EQ(measured.exit_code, 0) << measured.errors;
    return nlohmann::json::parse(measured.output, nullptr, false).value("mean_loss", 1e9);
  }
  std::string Exported(int version) const {
    const std::string out = fleet.folder() + "/v" + std::to_string(version);
    EXPECT_EQ(fleet.Admin({"adapter", "export", "t", std::to_string(version), "--format", "fleetune", "--out", out})
                  .exit_code,
              0);
    return std::filesystem::directory_iterator(out)->path();
  }

  LoopbackFleet fleet;
  const std::vector<std::string> names = {"romeo", "juliet", "nurse"};
  std::vector<Background> daemons;
};

TEST_P(VariantsTest, FactorsInTurnLearn) {
  Begin("rank = 4\nalpha = 8\ntrained = \"alternating\"\n", "");
  for (const int version : {1, 2, 3}) FinishRound(version);
  EXPECT_LT(Loss(3), Loss(0));
  EXPECT_THAT(fleet.AdminJson({"task", "show", "t"}).dump(), HasSubstr("A against odd ones"));
}

TEST_P(VariantsTest, ASmallerDeviceAndRefactoredVersions) {
  Begin("rank = 8\nalpha = 16\nsmallest_rank = 4\n", "refactor_every = 2\n", "max_rank = 4\n");
  for (const int version : {1, 2, 3}) FinishRound(version);
  EXPECT_LT(Loss(3), Loss(0));

  // Back over the refactored version to one with the seed's A, and on from there.
  EXPECT_EQ(fleet.Admin({"adapter", "rollback", "t", "--to", "1"}).exit_code, 0);
  ExpectAllHold(1);
  FinishRound(4);

  // A device that lost its adapters gets the refactored version whole.
  EXPECT_EQ(daemons[0].Terminate(), 0) << fleet.Log("romeo");
  std::filesystem::remove_all(fleet.DeviceFolder("romeo") + "/adapters");
  daemons[0] = fleet.RunDevice("romeo");
  ExpectAllHold(4);
}

INSTANTIATE_TEST_SUITE_P(Modes, VariantsTest, ::testing::Values("off", "semi-honest", "malicious"),
                         [](const auto& mode) {
                           const std::string name = mode.param;
                           return name == "off" ? "Off" : name == "malicious" ? "M" : "H";
                         });

TEST(SmallRankTest, ADeviceTooSmallForTheTaskDeclinesInWords) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1, .adapter = std::string("rank = 8\nalpha = 16\nsmallest_rank = 4\n") + kTargets});
  fleet.AddDevice("romeo", SpeakerText("romeo"), "max_rank = 2\n");
  const Background romeo = fleet.RunDevice("romeo");
  const std::string id = fleet.StartRound();
  EXPECT_TRUE(Eventually([&] {
    return fleet.Round(id).dump().find("at least rank 4, this device trains up to 2") != std::string::npos;
  })) << fleet.Log("romeo");
}

}  // namespace
}  // namespace fleetune
