// A device's own adapter, with real processes: what the fleet released stays below it, and nothing of it leaves.

#include <filesystem>
#include <fstream>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

void MakeVersion(const LoopbackFleet& fleet, const std::string& device, int version) {
  const nlohmann::json round = fleet.AwaitRound(fleet.StartRound());
  ASSERT_EQ(round.value("state", ""), "done") << round.dump(1);
  ASSERT_TRUE(Eventually([&] { return fleet.VersionOn(device) == version; }));
}

TEST(PersonalTest, IsLearnedOnTopOfTheFleetsUsedAndPurged) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1});
  fleet.AddDevice("romeo", fleet.SmallText(),
                  "[personal]\ntask = \"t\"\nlearning_rate = 0.01\nepochs = 2.0\nsequence_length = 128\n"
                  "[api]\nlisten = \"127.0.0.1:0\"\n");
  const auto api_says = [&fleet](const char* what) {
    return Eventually([&] { return fleet.Log("romeo").find(what) != std::string::npos; });
  };
  Background daemon = fleet.RunDevice("romeo");
  MakeVersion(fleet, "romeo", 1);

  const nlohmann::json before = JsonOf(fleet.Device("romeo", {"generate", "--json", "--max-tokens", "20", "What light"}));
  EXPECT_EQ(before.at("version"), 1);
  EXPECT_EQ(before.at("personal"), false);

  // Beside the daemon, which trains nothing meanwhile.
  const nlohmann::json trained = JsonOf(fleet.Device("romeo", {"personal", "train", "--json"}));
  EXPECT_EQ(trained.at("version"), 1);
  EXPECT_EQ(trained.at("kept"), true);
  EXPECT_LT(trained.at("loss_with").get<double>(), trained.at("loss_without").get<double>());
  EXPECT_EQ(trained.at("loss_with_present"), nullptr);
  EXPECT_TRUE(api_says("the API answers as t:personal with the device's own adapter on top"));
  const nlohmann::json serving = fleet.DeviceStatus("romeo").at("serving");
  EXPECT_EQ(serving.at("answers"), 0);
  EXPECT_GT(serving.at("memory_megabytes"), 0);
  EXPECT_EQ(serving.at("answer_budget_ms"), 600'000);

  const nlohmann::json with = JsonOf(fleet.Device("romeo", {"generate", "--json", "--max-tokens", "20", "What light"}));
  EXPECT_EQ(with.at("version"), 1);
  EXPECT_EQ(with.at("personal"), true);
  EXPECT_NE(with.at("text"), before.at("text"));
  const nlohmann::json without =
      JsonOf(fleet.Device("romeo", {"generate", "--json", "--no-personal", "--max-tokens", "20", "What light"}));
  EXPECT_EQ(without.at("personal"), false);
  EXPECT_EQ(without.at("text"), before.at("text"));

  // A later version comes under it, and what the fleet gets knows nothing of it.
  MakeVersion(fleet, "romeo", 2);
  const nlohmann::json later = JsonOf(fleet.Device("romeo", {"generate", "--json", "--max-tokens", "20", "What light"}));
  EXPECT_EQ(later.at("version"), 2);
  EXPECT_EQ(later.at("personal"), true);
  const nlohmann::json status = fleet.DeviceStatus("romeo").at("personal").at(0);
  EXPECT_EQ(status.at("trained_on_version"), 1);
  EXPECT_EQ(status.at("loss_with"), trained.at("loss_with"));
  EXPECT_THAT(status.at("words").get<std::string>(), HasSubstr("used on top of version 2 now"));
  EXPECT_THAT(fleet.Device("romeo", {"audit"}).output, HasSubstr("nothing of it leaves this device"));
  EXPECT_THAT(fleet.Log("coordinator"), Not(HasSubstr("personal")));

  // Another one must be better than what is there.
  const nlohmann::json again = JsonOf(fleet.Device("romeo", {"personal", "train", "--json"}));
  EXPECT_EQ(again.at("version"), 2);
  EXPECT_EQ(again.at("kept").get<bool>(), again.at("loss_with") < again.at("loss_with_present") &&
                                              again.at("loss_with") < again.at("loss_without"));

  EXPECT_EQ(JsonOf(fleet.Device("romeo", {"data", "purge", "--yes", "--json"})).at("personal_adapters"), 1);
  const nlohmann::json purged = JsonOf(fleet.Device("romeo", {"generate", "--json", "--max-tokens", "20", "What light"}));
  EXPECT_EQ(purged.at("personal"), false);
  EXPECT_TRUE(fleet.DeviceStatus("romeo").at("personal").empty());
  EXPECT_TRUE(api_says("the API answers task t with the fleet's adapter alone"));
  EXPECT_TRUE(std::filesystem::is_empty(fleet.DeviceFolder("romeo") + "/personal"));
  const Finished nothing = fleet.Device("romeo", {"personal", "train"});
  EXPECT_EQ(nothing.exit_code, 1);
  EXPECT_THAT(nothing.errors, HasSubstr("no examples to learn from"));
  EXPECT_EQ(daemon.Terminate(), 0) << fleet.Log("romeo");
}

TEST(PersonalTest, NeedsAWishAndAVersionAndIsDroppedOnRequest) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1});
  fleet.AddDevice("romeo", fleet.SmallText());
  Finished refused = fleet.Device("romeo", {"personal", "train"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.errors, HasSubstr("[personal]"));
  std::ofstream(fleet.DeviceFolder("romeo") + "/client.toml", std::ios::app) << "[personal]\nlearning_rate = 0.01\n";
  refused = fleet.Device("romeo", {"personal", "train"});
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.errors, HasSubstr("no adapter on this device yet"));
  EXPECT_EQ(JsonOf(fleet.Device("romeo", {"personal", "drop", "--json"})).at("dropped"), 0);

  // Version 0 of a task, which nobody trained yet, will do.
  Background daemon = fleet.RunDevice("romeo");
  ASSERT_TRUE(Eventually([&] { return fleet.VersionOn("romeo") == 0; }));
  EXPECT_EQ(daemon.Terminate(), 0);
  EXPECT_EQ(JsonOf(fleet.Device("romeo", {"personal", "train", "--json"})).at("kept"), true);
  EXPECT_EQ(JsonOf(fleet.Device("romeo", {"personal", "status", "--json"})).at("personal").size(), 1u);
  EXPECT_EQ(JsonOf(fleet.Device("romeo", {"personal", "drop", "--json"})).at("dropped"), 1);
  EXPECT_TRUE(JsonOf(fleet.Device("romeo", {"personal", "status", "--json"})).at("personal").empty());
  EXPECT_THAT(fleet.Device("romeo", {"audit"}).output, HasSubstr("the personal adapter was deleted"));
  EXPECT_EQ(JsonOf(fleet.Device("romeo", {"generate", "--json", "hello"})).at("personal"), false);
}

}  // namespace
}  // namespace fleetune
