// SCAFFOLD with real processes: devices keep control variates from round to round, whoever is killed, and the coordinator,
// which sees sums alone, has their mean.

#include <cmath>
#include <filesystem>
#include <string>
#include <vector>

#include "client/data/control_files.h"
#include "client/data/example_store.h"
#include "coordinator/store/sqlite_fleet_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;

double Norm(const std::vector<float>& values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return std::sqrt(sum);
}

double Distance(const std::vector<float>& x, const std::vector<float>& y) {
  EXPECT_EQ(x.size(), y.size());
  std::vector<float> difference(x);
  for (size_t i = 0; i < std::min(x.size(), y.size()); ++i) difference[i] -= y[i];
  return Norm(difference);
}

size_t Count(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

class ControlRoundTest : public ::testing::Test {
 protected:
  void Begin() {
    fleet.CreateTask({.devices = 3,
                      .needed = 3,
                      .training = "epochs = 1\nlearning_rate = 0.005\nsequence_length = 128\ncontrol_variates = true\n",
                      .secure_aggregation = "semi-honest",
                      .update = "lane_bits = 24\nclip_norm = 20\n"});
    for (const std::string& name : names) {
      fleet.AddDevice(name, SpeakerText(name));
      daemons.push_back(fleet.RunDevice(name));
    }
  }
  // Counted at the coordinator, and known to be at each device.
  void Finish(const std::string& id, size_t rounds) {
    const nlohmann::json round = fleet.AwaitRound(id);
    ASSERT_EQ(round.value("state", ""), "done") << round.dump(1);
    ASSERT_EQ(round.value("counted", 0), 3) << round.dump(1);
    for (const std::string& name : names) {
      ASSERT_TRUE(Eventually([&] { return Count(Audit(name), "moved by what was sent") == rounds; })) << fleet.Log(name);
    }
  }
  std::string Audit(const std::string& name) const { return fleet.Device(name, {"audit"}).output; }
  // c, from a copy of the coordinator's database.
  std::vector<float> Server() const {
    const auto store = SqliteFleetStore::Open(fleet.AdminJson({"backup"}).at("path"));
    EXPECT_TRUE(store.ok());
    return (*store)->FindServerState("t")->b.control;
  }
  // c_i. Its daemon must have ended.
  std::vector<float> Own(const std::string& name, uint64_t values) const {
    const SystemClock clock;
    ExampleStore examples = *ExampleStore::Open(fleet.DeviceFolder(name), clock);
    const auto base = Digest::FromHex(fleet.AdminJson({"model", "list"}).at("models")[0].at("sha256").get<std::string>());
    const auto control = ControlFiles(fleet.DeviceFolder(name), &examples)
                             .Begin({.task = "t", .base = *base, .a_size = 0, .b_size = values});
    EXPECT_TRUE(control.ok()) << control.status();
    return control->b;
  }
  bool Keeps(const std::string& name) const {
    std::error_code error;
    return std::filesystem::directory_iterator(fleet.DeviceFolder(name) + "/controls", error) !=
           std::filesystem::directory_iterator();
  }
  // On a text that no device has; version 0 is the base model.
  double Loss(int version) const {
    std::vector<std::string> arguments = {"perplexity", "--model", StoriesModel(), "--data", SpeakerText("hastings"),
                                          "--json"};
    if (version > 0) {
      const std::string out = fleet.folder() + "/v" + std::to_string(version);
      EXPECT_EQ(fleet.Admin({"adapter", "export", "t", std::to_string(version), "--format", "fleetune", "--out", out})
                    .exit_code,
                0);
      arguments.insert(arguments.end(), {"--adapter", std::filesystem::directory_iterator(out)->path()});
    }
    const Finished measured = RunProgram("fleetune-model", arguments);
    EXPECT_EQ(measured.exit_code, 0) << measured.errors;
    return nlohmann::json::parse(measured.output, nullptr, false).value("mean_loss", 1e9);
  }

  LoopbackFleet fleet;
  const std::vector<std::string> names = {"nurse", "benvolio", "lucentio"};
  std::vector<Background> daemons;
};

TEST_F(ControlRoundTest, TheServersIsTheMeanOfTheDevicesThoughOneIsKilled) {
  Begin();
  std::string id = fleet.StartRound();
  ASSERT_TRUE(Eventually([&] { return !fleet.Round(id).value("cells", nlohmann::json::array()).empty(); }));
  daemons[0].KillHard();
  daemons[0] = fleet.RunDevice(names[0]);
  Finish(id, 1);
  const std::vector<float> first = Server();
  EXPECT_GT(Norm(first), 0);
  id = fleet.StartRound();
  Finish(id, 2);
  const std::vector<float> second = Server();
  EXPECT_GT(Distance(second, first), 0.01 * Norm(first));
  EXPECT_LT(Loss(2), Loss(0));
  EXPECT_THAT(Audit("nurse"), HasSubstr("and of the change of their control variates, trained on"));

  std::vector<float> mean(second.size());
  for (size_t i = 0; i < names.size(); ++i) {
    EXPECT_EQ(daemons[i].Terminate(), 0) << fleet.Log(names[i]);
    const std::vector<float> own = Own(names[i], second.size());
    ASSERT_EQ(own.size(), mean.size());
    for (size_t k = 0; k < mean.size(); ++k) mean[k] += own[k] / 3;
  }
  // But for the rounding of what travels.
  EXPECT_LT(Distance(second, mean), 0.01 * Norm(mean));

  EXPECT_TRUE(Keeps("nurse"));
  EXPECT_EQ(fleet.Device("nurse", {"data", "purge", "--yes"}).exit_code, 0);
  EXPECT_FALSE(Keeps("nurse"));
}

}  // namespace
}  // namespace fleetune
