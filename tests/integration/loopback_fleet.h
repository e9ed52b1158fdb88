#pragma once

#include <optional>
#include <string>
#include <vector>

#include "nlohmann/json.hpp"
#include "tests/integration/process.h"

namespace fleetune {

// A coordinator and devices as real processes on 127.0.0.1, in a folder of its own that is removed at the end.
// A step that must work and does not fails the test with what the program printed.
class LoopbackFleet {
 public:
  LoopbackFleet();
  ~LoopbackFleet();

  const std::string& folder() const { return folder_; }
  std::string DeviceFolder(const std::string& name) const { return folder_ + "/devices/" + name; }
  std::string CoordinatorFolder() const { return folder_ + "/coordinator"; }
  const std::string& address() const { return address_; }

  // The same port again after a restart: devices know no other.
  void Serve();
  Background& coordinator() { return *coordinator_; }

  Finished Admin(std::vector<std::string> arguments) const;
  // With --json; must succeed.
  nlohmann::json AdminJson(std::vector<std::string> arguments) const;

  std::string Token(const std::vector<std::string>& options = {}) const;
  Finished Enroll(const std::string& name, const std::string& token) const;
  Finished Device(const std::string& name, std::vector<std::string> arguments) const;
  nlohmann::json DeviceStatus(const std::string& name) const;
  // Enrols, takes in `data_path`, writes client.toml with `settings` and the model of this machine.
  void AddDevice(const std::string& name, const std::string& data_path, const std::string& settings = "");
  // Of the task that the device serves; -1: of none yet.
  int VersionOn(const std::string& name) const;
  Background RunDevice(const std::string& name) const;

  // `model add`, `task create` for "t" with these lines put into their sections.
  struct TaskSettings {
    int devices = 2;
    int needed = 2;
    std::string adapter = "rank = 4\nalpha = 8\ntargets = [\"q\", \"v\"]\n";
    std::string training = "epochs = 1\nlearning_rate = 0.005\nsequence_length = 128\n";
    int deadline_seconds = 900;
    std::string secure_aggregation = "off";
    std::string privacy = "";  // lines of [privacy]
    std::string server = "";
    std::string update = "";   // lines of [update]
  };
  void CreateTask(const TaskSettings& settings);
  std::string StartRound() const;
  nlohmann::json Round(const std::string& id) const;
  // Waits until the round is not collecting any more.
  nlohmann::json AwaitRound(const std::string& id) const;
  std::string Log(const std::string& name) const;  // of a device, or "coordinator"
  // A file in this folder: enough to learn from, and little to wait for.
  std::string SmallText() const;

 private:
  std::string folder_;
  std::string address_;
  std::optional<Background> coordinator_;
};

// What a program that must end well printed with --json.
nlohmann::json JsonOf(const Finished& finished);

// Model and texts from FLEETUNE_TEST_DATA.
std::string StoriesModel();
std::string SpeakerText(const std::string& speaker);

}  // namespace fleetune
