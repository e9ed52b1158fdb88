#include "tests/integration/loopback_fleet.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <utility>

#include "base/check.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

std::string ReadText(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void WriteText(const std::string& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

void ExpectDone(const Finished& finished, const std::string& what) {
  EXPECT_EQ(finished.exit_code, 0) << what << "\n" << finished.output << finished.errors;
}

}  // namespace

std::string StoriesModel() { return std::string(FLEETUNE_TEST_DATA) + "/models/stories260K-q8_0.gguf"; }
std::string SpeakerText(const std::string& speaker) {
  return std::string(FLEETUNE_TEST_DATA) + "/shakespeare/" + speaker + ".txt";
}

LoopbackFleet::LoopbackFleet() {
  folder_ = (std::filesystem::temp_directory_path() / "fleetune-fleet-XXXXXX").string();
  CHECK(mkdtemp(folder_.data()) != nullptr);
  std::filesystem::create_directory(folder_ + "/devices");
  ExpectDone(RunProgram("fleetune-coordinator", {"init", "--dir", CoordinatorFolder(), "--host", "127.0.0.1"}), "init");
  Serve();
}

LoopbackFleet::~LoopbackFleet() {
  coordinator_.reset();
  if (testing::Test::HasFailure()) {
    std::fprintf(stderr, "--- coordinator.log\n%s\n", Log("coordinator").c_str());
    for (const auto& entry : std::filesystem::directory_iterator(folder_ + "/devices")) {
      if (!entry.is_directory()) continue;
      std::fprintf(stderr, "--- %s\n%s\n", entry.path().c_str(), Log(entry.path().filename()).c_str());
    }
  }
  std::filesystem::remove_all(folder_);
}

void LoopbackFleet::Serve() {
  const std::string listening = CoordinatorFolder() + "/listening";
  std::filesystem::remove(listening);
  const std::string listen = address_.empty() ? "127.0.0.1:0" : address_;
  coordinator_.emplace("fleetune-coordinator",
                       std::vector<std::string>{"serve", "--dir", CoordinatorFolder(), "--listen", listen},
                       folder_ + "/coordinator.log");
  ASSERT_TRUE(Eventually([&] { return std::filesystem::exists(listening) && !ReadText(listening).empty(); }))
      << Log("coordinator");
  address_ = ReadText(listening);
  while (address_.ends_with('\n')) address_.pop_back();
}

Finished LoopbackFleet::Admin(std::vector<std::string> arguments) const {
  const std::vector<std::string> common = {"--credentials", CoordinatorFolder() + "/admin", "--address", address_};
  arguments.insert(arguments.begin(), common.begin(), common.end());
  return RunProgram("fleetune", arguments);
}

nlohmann::json LoopbackFleet::AdminJson(std::vector<std::string> arguments) const {
  arguments.push_back("--json");
  const Finished finished = Admin(arguments);
  ExpectDone(finished, arguments.front());
  return nlohmann::json::parse(finished.output, nullptr, false);
}

std::string LoopbackFleet::Token(const std::vector<std::string>& options) const {
  std::vector<std::string> arguments = {"token", "create"};
  arguments.insert(arguments.end(), options.begin(), options.end());
  return AdminJson(arguments).at("token");
}

Finished LoopbackFleet::Enroll(const std::string& name, const std::string& token) const {
  std::filesystem::create_directories(DeviceFolder(name));
  return Device(name, {"enroll", "--token", token, "--name", name});
}

Finished LoopbackFleet::Device(const std::string& name, std::vector<std::string> arguments) const {
  arguments.insert(arguments.begin(), {"--dir", DeviceFolder(name)});
  return RunProgram("fleetune-client", arguments);
}

nlohmann::json LoopbackFleet::DeviceStatus(const std::string& name) const {
  const Finished finished = Device(name, {"status", "--json"});
  ExpectDone(finished, "status");
  return nlohmann::json::parse(finished.output, nullptr, false);
}

void LoopbackFleet::AddDevice(const std::string& name, const std::string& data_path, const std::string& settings) {
  std::filesystem::create_directories(DeviceFolder(name));
  // Tests run beside each other and share two cores: a trainer that waits until nobody else computes would not end in time.
  WriteText(DeviceFolder(name) + "/client.toml",
            "threads = 1\ntrainer_niceness = 10\nanswer_milliseconds = 600000\nmodels = [\"" + StoriesModel() + "\"]\n" + settings);
  ExpectDone(Enroll(name, Token()), "enroll");
  ExpectDone(Device(name, {"data", "add", data_path}), "data add");
}

int LoopbackFleet::VersionOn(const std::string& name) const {
  const nlohmann::json tasks = DeviceStatus(name).at("tasks");
  return tasks.empty() ? -1 : tasks[0].at("version").get<int>();
}

Background LoopbackFleet::RunDevice(const std::string& name) const {
  return Background("fleetune-client", {"--dir", DeviceFolder(name), "run"}, DeviceFolder(name) + ".log");
}

void LoopbackFleet::CreateTask(const TaskSettings& settings) {
  (void)AdminJson({"model", "add", StoriesModel(), "--name", "stories"});
  const std::string path = folder_ + "/task.toml";
  WriteText(path, "name = \"t\"\nbase = \"stories\"\nsecure_aggregation = \"" + settings.secure_aggregation +
                      "\"\n"
                      "[adapter]\n" +
                      settings.adapter + "[server]\n" + settings.server + "[update]\n" + settings.update + "[training]\n" +
                      settings.training + "[round]\ninvited = " + std::to_string(settings.devices) +
                      "\nneeded = " + std::to_string(settings.needed) +
                      "\ndeadline_seconds = " + std::to_string(settings.deadline_seconds) +
                      "\npoll_seconds = 1\n"
                      "[secure]\nseat_seconds = 20\nshare_seconds = 20\ninput_seconds = 20\nview_seconds = 20\n"
                      "unmask_seconds = 20\n[privacy]\n" +
                      settings.privacy);
  ExpectDone(Admin({"task", "create", path}), "task create");
}

std::string LoopbackFleet::StartRound() const { return AdminJson({"round", "start", "t"}).at("id"); }

nlohmann::json LoopbackFleet::Round(const std::string& id) const { return AdminJson({"round", "show", id}); }

nlohmann::json LoopbackFleet::AwaitRound(const std::string& id) const {
  nlohmann::json round;
  EXPECT_TRUE(Eventually([&] {
    round = Round(id);
    return round.value("state", "collecting") != "collecting";
  })) << round.dump();
  return round;
}

std::string LoopbackFleet::Log(const std::string& name) const {
  return ReadText(name == "coordinator" ? folder_ + "/coordinator.log" : DeviceFolder(name) + ".log");
}

std::string LoopbackFleet::SmallText() const {
  constexpr size_t kBytes = 12'000;
  const std::string path = folder_ + "/small.txt";
  WriteText(path, ReadText(SpeakerText("romeo")).substr(0, kBytes));
  return path;
}

nlohmann::json JsonOf(const Finished& finished) {
  EXPECT_EQ(finished.exit_code, 0) << finished.errors;
  return nlohmann::json::parse(finished.output, nullptr, false);
}

}  // namespace fleetune
