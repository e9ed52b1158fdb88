// The API of a running device, asked over HTTP as programs of its machine do.

#include <cmath>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/api_client.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;
using nlohmann::json;

constexpr char kApi[] = "[api]\nlisten = \"127.0.0.1:0\"\nkeep_feedback = true\n";

json Completion(const ApiClient& api, const std::string& model, const std::string& prompt) {
  return api.Post("/v1/completions", {{"model", model}, {"prompt", prompt}, {"max_tokens", 20}, {"temperature", 0}});
}
std::string TextOf(const json& answer) { return answer.at("choices").at(0).at("text"); }

TEST(DeviceApiOverHttp, AnswersWithTheFleetsAdapterAndWithTheDevicesOwnAndSaysWhich) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1});
  fleet.AddDevice("romeo", fleet.SmallText(),
                  std::string("[personal]\ntask = \"t\"\nlearning_rate = 0.01\nepochs = 2.0\nsequence_length = 128\n") + kApi);
  Background daemon = fleet.RunDevice("romeo");
  ASSERT_EQ(fleet.AwaitRound(fleet.StartRound()).value("state", ""), "done");
  ASSERT_TRUE(Eventually([&] { return fleet.VersionOn("romeo") == 1; }));
  EXPECT_EQ(JsonOf(fleet.Device("romeo", {"personal", "train", "--json"})).at("kept"), true);
  ASSERT_TRUE(Eventually([&] { return fleet.Log("romeo").find("the API answers as t:personal") != std::string::npos; }));

  const ApiClient api(fleet, "romeo");
  const json with = Completion(api, "t:personal", "What light");
  const json without = Completion(api, "t:fleet", "What light");
  EXPECT_NE(TextOf(with), TextOf(without));
  EXPECT_EQ(with.at("model"), "t:personal");
  EXPECT_EQ(without.at("model"), "t:fleet");
  EXPECT_THAT(with.at("system_fingerprint").get<std::string>(), ContainsRegex("^base-[0-9a-f]+/t@1-[0-9a-f]+.personal-[0-9a-f]+$"));
  EXPECT_THAT(without.at("system_fingerprint").get<std::string>(), ContainsRegex("^base-[0-9a-f]+/t@1-[0-9a-f]+$"));
  // The task's own name means with it; and both are what the device answers without the API.
  EXPECT_EQ(TextOf(Completion(api, "t", "What light")), TextOf(with));
  const auto generated = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {"generate", "--json", "--max-tokens", "20", "What light"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return JsonOf(fleet.Device("romeo", arguments)).at("text");
  };
  EXPECT_EQ(generated({}), TextOf(with));
  EXPECT_EQ(generated({"--no-personal"}), TextOf(without));
  EXPECT_EQ(daemon.Terminate(), 0) << fleet.Log("romeo");
}

TEST(DeviceApiOverHttp, ASystemPromptOutlivesTheDaemonButNotAPurge) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1});
  fleet.AddDevice("romeo", fleet.SmallText(), kApi);
  const std::string prompts = fleet.DeviceFolder("romeo") + "/prompts";
  const json messages = {{{"role", "system"}, {"content", "You are a kind old man who tells stories of the sea to his cat."}},
                         {{"role", "user"}, {"content", "Tell me one."}}};
  int starts = 0;
  const auto cached_after_a_start = [&] {
    Background daemon = fleet.RunDevice("romeo");
    const json answer = ApiClient(fleet, "romeo", ++starts)
                            .Post("/v1/chat/completions", {{"model", "base"}, {"messages", messages}, {"max_tokens", 4}});
    EXPECT_EQ(daemon.Terminate(), 0) << fleet.Log("romeo");
    return answer.at("usage").at("prompt_tokens_details").at("cached_tokens").get<int>();
  };
  EXPECT_EQ(cached_after_a_start(), 0);
  EXPECT_GE(cached_after_a_start(), 32);
  EXPECT_FALSE(std::filesystem::is_empty(prompts));
  const json purged = JsonOf(fleet.Device("romeo", {"data", "purge", "--yes", "--json"}));
  EXPECT_EQ(purged.at("purged"), true);
  EXPECT_TRUE(std::filesystem::is_empty(prompts));
  EXPECT_EQ(cached_after_a_start(), 0);
  EXPECT_THAT(fleet.Log("romeo"), Not(HasSubstr("system prompt")));  // nothing was amiss
}

// From the program that says what an answer should have been to a training that compares the two.
TEST(DeviceApiOverHttp, FeedbackBecomesPairsThatATrainingLearnsToTellApart) {
  constexpr int kPairs = 24;
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 1, .needed = 1});
  fleet.AddDevice("romeo", fleet.SmallText(),
                  std::string("[personal]\ndata_tag = \"preferences\"\nlearning_rate = 0.01\nepochs = 4.0\n"
                              "sequence_length = 64\nheld_out_share = 0.5\n") + kApi);
  Background daemon = fleet.RunDevice("romeo");
  ASSERT_TRUE(Eventually([&] { return fleet.VersionOn("romeo") == 0; }));
  const ApiClient api(fleet, "romeo");
  for (int i = 0; i < kPairs; ++i) {
    const json answer = Completion(api, "base", "Child " + std::to_string(i) + " asked for the");
    EXPECT_EQ(api.Post("/v1/feedback", {{"id", answer.at("id")}, {"verdict", "bad"}, {"correction", " blue lamp in the hall."}})
                  .at("kept"),
              true);
  }
  std::map<std::string, int> examples;
  const json stats = JsonOf(fleet.Device("romeo", {"data", "stats", "--json"}));
  for (const json& tag : stats.at("tags")) {
    examples[tag.at("tag")] = tag.at("examples");
  }
  EXPECT_EQ(examples["preferences"], kPairs);
  EXPECT_EQ(examples["feedback"], kPairs);

  const json trained = JsonOf(fleet.Device("romeo", {"personal", "train", "--json"}));
  EXPECT_GT(trained.at("examples"), 0);
  EXPECT_LT(trained.at("examples"), kPairs);  // the others are measured with
  // Before, nothing is liked better than as the start has it, which costs log 2 a pair: they are compared, not copied.
  EXPECT_NEAR(trained.at("loss_without").get<double>(), std::log(2.0), 1e-3);
  EXPECT_LT(trained.at("loss_with").get<double>(), 0.9 * std::log(2.0));
  EXPECT_EQ(trained.at("kept"), true);
  EXPECT_EQ(daemon.Terminate(), 0) << fleet.Log("romeo");
}

}  // namespace
}  // namespace fleetune
