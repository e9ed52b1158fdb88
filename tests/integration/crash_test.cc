// `kill -9` of each process at bad moments: the round completes, and its sum counts each acknowledged update once.

#include <signal.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/integration/loopback_fleet.h"

namespace fleetune {
namespace {

// Enough passes that a training takes seconds, so that a kill finds it at work.
constexpr char kLongTraining[] = "epochs = 20\nlearning_rate = 0.003\nsequence_length = 128\n";

// Some hundred steps: enough to be met after the first checkpoint, and not more than need be, since a trainer runs only when
// nobody else wants the processor.
constexpr char kSomeTraining[] = "epochs = 3\nlearning_rate = 0.003\nsequence_length = 128\n";

void ExpectWholeRound(const nlohmann::json& round, int devices) {
  EXPECT_EQ(round.value("state", ""), "done") << round.dump(1);
  EXPECT_EQ(round.value("counted", 0), devices) << round.dump(1);
  // Every device has weight 1: a sum that counted one twice, or lost one, would not weigh this.
  EXPECT_NEAR(round.value("total_weight", 0.0), devices, 1e-3) << round.dump(1);
  EXPECT_EQ(round.value("made_version", 0), 1) << round.dump(1);
}

// Every device comes to the version's hash, so all hold the same bits.
void ExpectDevicesAtVersion(const LoopbackFleet& fleet, const std::vector<std::string>& devices, int version) {
  const nlohmann::json versions = fleet.AdminJson({"adapter", "list", "t"});
  std::string hash;
  for (const nlohmann::json& entry : versions.at("versions")) {
    if (entry.at("version") == version) hash = entry.at("hash");
  }
  ASSERT_FALSE(hash.empty()) << versions.dump(1);
  for (const std::string& device : devices) {
    EXPECT_TRUE(Eventually([&] {
      const nlohmann::json status = fleet.DeviceStatus(device);
      for (const nlohmann::json& task : status.value("tasks", nlohmann::json::array())) {
        if (task.value("task", "") == "t" && task.value("version", 0) == version) return task.at("hash") == hash;
      }
      return false;
    })) << device
        << " did not come to version " << version;
  }
}

bool IsTraining(const LoopbackFleet& fleet, const Background& daemon, const std::string& device) {
  return !ChildrenOf(daemon.pid()).empty() && fleet.DeviceStatus(device).value("phase", "") == "training";
}

TEST(CrashTest, CoordinatorKilledWhileDevicesUpload) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 3, .needed = 3});
  const std::vector<std::string> names = {"romeo", "juliet", "nurse"};
  std::vector<Background> daemons;
  for (const std::string& name : names) {
    fleet.AddDevice(name, SpeakerText(name));
    daemons.push_back(fleet.RunDevice(name));
  }
  const std::string id = fleet.StartRound();
  // Once when the first upload has begun, then again as each further one is counted.
  ASSERT_TRUE(Eventually([&] {
    for (const auto& device : fleet.Round(id).value("devices", nlohmann::json::array())) {
      if (device.value("state", "") == "uploading" || device.value("state", "") == "counted") return true;
    }
    return false;
  }));
  for (int kill = 0; kill < 3; ++kill) {
    fleet.coordinator().KillHard();
    fleet.Serve();
    const int counted = fleet.Round(id).value("counted", 0);
    ASSERT_TRUE(Eventually([&] {
      const nlohmann::json round = fleet.Round(id);
      return round.value("counted", 0) > counted || round.value("state", "") == "done";
    }));
  }
  ExpectWholeRound(fleet.AwaitRound(id), 3);
  ExpectDevicesAtVersion(fleet, names, 1);
}

TEST(CrashTest, DeviceKilledWhileItTrains) {
  LoopbackFleet fleet;
  fleet.CreateTask({.devices = 2, .needed = 2, .training = kLongTraining});
  fleet.AddDevice("romeo", SpeakerText("romeo"));
  fleet.AddDevice("juliet", SpeakerText("juliet"));
  Background romeo = fleet.RunDevice("romeo");
  Background juliet = fleet.RunDevice("juliet");
  const std::string id = fleet.StartRound();
  ASSERT_TRUE(Eventually([&] { return IsTraining(fleet, romeo, "romeo"); })) << fleet.Log("romeo");
  romeo.KillHard();
  romeo = fleet.RunDevice("romeo");
  ExpectWholeRound(fleet.AwaitRound(id), 2);
  ExpectDevicesAtVersion(fleet, {"romeo", "juliet"}, 1);
}

bool HasCheckpoint(const LoopbackFleet& fleet, const std::string& device) {
  std::error_code error;
  return std::filesystem::directory_iterator(fleet.DeviceFolder(device) + "/checkpoints", error) !=
         std::filesystem::directory_iterator();
}

// One device in the first round, whose trainer has left a checkpoint and goes on.
class TrainingCrashTest : public testing::Test {
 protected:
  TrainingCrashTest() {
    fleet_.CreateTask({.devices = 1, .needed = 1, .training = kSomeTraining});
    fleet_.AddDevice("romeo", SpeakerText("romeo"), "checkpoint_steps = 3\n");
    romeo_.emplace(fleet_.RunDevice("romeo"));
    round_ = fleet_.StartRound();
    EXPECT_TRUE(Eventually([&] { return HasCheckpoint(fleet_, "romeo"); })) << fleet_.Log("romeo");
    trainers_ = ChildrenOf(romeo_->pid());
  }

  LoopbackFleet fleet_;
  std::optional<Background> romeo_;
  std::string round_;
  std::vector<pid_t> trainers_;
};

TEST_F(TrainingCrashTest, TrainerKilledTheNextAttemptGoesOnFromTheCheckpoint) {
  ASSERT_FALSE(trainers_.empty()) << fleet_.Log("romeo");
  for (pid_t trainer : trainers_) kill(trainer, SIGKILL);
  ExpectWholeRound(fleet_.AwaitRound(round_), 1);
  EXPECT_TRUE(romeo_->Running());
  const std::string log = fleet_.Log("romeo");
  EXPECT_NE(log.find("signal 9 (Killed)"), std::string::npos) << log;
  EXPECT_NE(log.find("goes on from the checkpoint after step "), std::string::npos) << log;
  ExpectDevicesAtVersion(fleet_, {"romeo"}, 1);
  EXPECT_FALSE(HasCheckpoint(fleet_, "romeo"));  // the round is over
}

TEST_F(TrainingCrashTest, TheOwnersPauseHoldsARunningTraining) {
  ASSERT_EQ(fleet_.Device("romeo", {"pause"}).exit_code, 0);
  ASSERT_TRUE(Eventually([&] {
    const nlohmann::json status = fleet_.DeviceStatus("romeo");
    return status.value("phase", "") == "paused" && status.value("detail", "").find(", step ") != std::string::npos;
  })) << fleet_.DeviceStatus("romeo") << fleet_.Log("romeo");
  EXPECT_EQ(ChildrenOf(romeo_->pid()), trainers_);  // it waits; it was not ended
  ASSERT_EQ(fleet_.Device("romeo", {"resume"}).exit_code, 0);
  ExpectWholeRound(fleet_.AwaitRound(round_), 1);
  const std::string log = fleet_.Log("romeo");
  EXPECT_NE(log.find("training pauses: paused by the owner"), std::string::npos) << log;
  EXPECT_NE(log.find("training goes on"), std::string::npos) << log;
  EXPECT_EQ(log.find("training attempt"), std::string::npos) << log;  // none failed
}

}  // namespace
}  // namespace fleetune
