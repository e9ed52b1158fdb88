#include <string>
#include <vector>

#include "coordinator/core/fleet_limits.h"
#include "gtest/gtest.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr auto kNotFound = absl::StatusCode::kNotFound;
constexpr auto kExists = absl::StatusCode::kAlreadyExists;

class FleetOperatorsTest : public ::testing::Test {
 protected:
  SmallFleet small;
};

TEST_F(FleetOperatorsTest, ModelsAreKeptByName) {
  ASSERT_THAT(small.fleet->AddModel("ann", SmallModel()), IsOk());
  EXPECT_THAT(small.fleet->AddModel("ann", SmallModel()), IsOk());
  BaseModel other = SmallModel();
  other.sha256.bytes[0] ^= 1;
  EXPECT_THAT(small.fleet->AddModel("ann", other), HasStatus(kExists, "another file"));
  EXPECT_EQ(small.fleet->Models().size(), 1u);
  EXPECT_EQ(small.fleet->Models().front().sha256, SmallModel().sha256);
}

TEST_F(FleetOperatorsTest, ModelNamesAreChecked) {
  BaseModel model = SmallModel();
  for (const std::string& name : {std::string(), std::string(65, 'a'), std::string("../x"), std::string("Big")}) {
    model.name = name;
    EXPECT_THAT(small.fleet->AddModel("ann", model), HasStatus(kInvalid, "model name"));
  }
  model.name = std::string(64, 'a');
  EXPECT_THAT(small.fleet->AddModel("ann", model), IsOk());
}

TEST_F(FleetOperatorsTest, ATaskBeginsWithVersionZero) {
  small.AddTask();
  const std::vector<VersionView> versions = *small.fleet->Versions("home");
  ASSERT_EQ(versions.size(), 1u);
  EXPECT_EQ(versions[0].version, 0u);
  EXPECT_TRUE(versions[0].head && versions[0].released);
  EXPECT_EQ(versions[0].update_bytes, 0u);
  EXPECT_EQ(small.fleet->Tasks("")->front().trained_parameters, SmallFleet::kParameters);
  for (const Adapter adapter = *small.fleet->VersionAdapter("home", 0); const float value : adapter.b())
    EXPECT_EQ(value, 0.0f);
}

TEST_F(FleetOperatorsTest, TasksAreWarnedAbout) {
  ASSERT_THAT(small.fleet->AddModel("ann", SmallModel()), IsOk());
  std::string toml = SmallTask();
  toml.replace(toml.find("needed = 2"), 10, "needed = 1");
  const auto created = small.fleet->CreateTask("ann", toml);
  ASSERT_THAT(created, IsOk());
  ASSERT_EQ(created->warnings.size(), 2u);
  EXPECT_NE(created->warnings[0].find("secure_aggregation is off"), std::string::npos);
  EXPECT_NE(created->warnings[1].find("one device"), std::string::npos);
}

TEST_F(FleetOperatorsTest, BadTasksAreRefused) {
  EXPECT_THAT(small.fleet->CreateTask("ann", SmallTask()), HasStatus(kInvalid, "small.gguf"));
  small.AddTask();
  EXPECT_THAT(small.fleet->CreateTask("ann", SmallTask()), HasStatus(kExists, "home"));
  EXPECT_THAT(small.fleet->CreateTask("ann", "name = "), HasStatus(kInvalid, "line 1"));
  EXPECT_THAT(small.fleet->Tasks("work"), HasStatus(kNotFound, "work"));
  EXPECT_THAT(small.fleet->PauseTask("ann", "work", true), HasStatus(kNotFound, "work"));
}

TEST_F(FleetOperatorsTest, AdaptersTooLargeToKeepAreRefused) {
  BaseModel huge = SmallModel();
  huge.sizes.projections.fill({.in = 8, .out = 1u << 18});
  ASSERT_THAT(small.fleet->AddModel("ann", huge), IsOk());
  std::string toml = SmallTask();  // 2 layers * 2 targets * 256 * 2^18 = 2^28
  toml.replace(toml.find("rank = 2"), 8, "rank = 256");
  EXPECT_THAT(small.fleet->CreateTask("ann", toml), HasStatus(kInvalid, "lower the rank"));
}

TEST_F(FleetOperatorsTest, TasksAndPausesSurviveACrash) {
  small.AddTask();
  ASSERT_THAT(small.fleet->PauseTask("ann", "home", true), IsOk());
  const std::string before = FormatTaskSpec(small.fleet->Tasks("home")->front().spec);
  small.Reopen();
  EXPECT_TRUE(small.fleet->Tasks("home")->front().paused);
  EXPECT_EQ(FormatTaskSpec(small.fleet->Tasks("home")->front().spec), before);
}

TEST_F(FleetOperatorsTest, DevicesAreTagged) {
  const std::string device = small.AddDevice("lamp", {"kitchen"});
  const auto tagged = small.fleet->TagDevice("ann", device, {"new", "kitchen"}, {});
  ASSERT_THAT(tagged, IsOk());
  EXPECT_EQ(tagged->tags, (std::vector<std::string>{"kitchen", "new"}));
  EXPECT_EQ(small.fleet->TagDevice("ann", device, {}, {"kitchen", "unknown"})->tags, std::vector<std::string>{"new"});
  EXPECT_THAT(small.fleet->TagDevice("ann", device, {"Not A Tag"}, {}), HasStatus(kInvalid, "tag"));
  EXPECT_THAT(small.fleet->TagDevice("ann", "nobody", {"a"}, {}), HasStatus(kNotFound, "nobody"));
  EXPECT_THAT(small.fleet->RevokeDevice("ann", "nobody"), HasStatus(kNotFound, "nobody"));
  std::vector<std::string> many;
  for (size_t i = 0; i < kMaxDeviceTags; ++i) many.push_back("t" + std::to_string(i));
  EXPECT_THAT(small.fleet->TagDevice("ann", device, many, {"new"}), IsOk());
  EXPECT_THAT(small.fleet->TagDevice("ann", device, {"more"}, {}), HasStatus(kInvalid, "tags"));
}

TEST_F(FleetOperatorsTest, DevicesAreFoundByIdAndName) {
  const std::string one = small.AddDevice("lamp");
  small.AddDevice("lamp");
  EXPECT_EQ(small.fleet->Devices("")->size(), 2u);
  EXPECT_EQ(small.fleet->Devices("lamp")->size(), 2u);
  EXPECT_EQ(small.fleet->Devices(one)->size(), 1u);
  EXPECT_THAT(small.fleet->Devices("oven"), HasStatus(kNotFound, "oven"));
}

TEST_F(FleetOperatorsTest, EveryActionIsInTheAuditLog) {
  small.AddTask();
  const std::string device = small.AddDevice("lamp");
  const std::string round = small.StartRound();
  ASSERT_THAT(small.fleet->AbortRound("bob", round, "why"), IsOk());
  ASSERT_THAT(small.fleet->RevokeDevice("bob", device), IsOk());
  const auto page = small.fleet->Audit(0, 0);
  ASSERT_THAT(page, IsOk());
  EXPECT_TRUE(page->chain_intact);
  std::vector<std::string> actions;
  for (const AuditRecord& record : page->records) actions.push_back(record.actor + " " + record.action);
  EXPECT_EQ(actions,
            (std::vector<std::string>{"admin:ann model.add", "admin:ann task.create", "admin:ann token.create",
                                      "device:" + device + " device.enroll", "admin:ann round.start",
                                      "admin:bob round.abort", "coordinator round.end", "admin:bob device.revoke"}));
}

TEST_F(FleetOperatorsTest, TheAuditLogIsPaged) {
  small.AddTask();
  for (int i = 0; i < 8; ++i) ASSERT_THAT(small.fleet->PauseTask("ann", "home", i % 2 == 0), IsOk());
  small.Reopen();
  const auto first = small.fleet->Audit(0, 4);
  ASSERT_EQ(first->records.size(), 4u);
  const auto second = small.fleet->Audit(4, 100);
  ASSERT_EQ(second->records.size(), 6u);
  EXPECT_TRUE(second->chain_intact);
  EXPECT_EQ(second->records.front().sequence, 5u);
  EXPECT_TRUE(small.fleet->Audit(10, 100)->records.empty());
  EXPECT_TRUE(small.fleet->Audit(10, 100)->chain_intact);
}

TEST_F(FleetOperatorsTest, AChangedAuditLogShows) {
  small.AddTask();
  for (int i = 0; i < 4; ++i) ASSERT_THAT(small.fleet->PauseTask("ann", "home", i % 2 == 0), IsOk());
  auto& audit = small.memory.tables().audit;
  const auto untouched = audit;
  audit.at(3).actor = "admin:eve";
  EXPECT_FALSE(small.fleet->Audit(0, 0)->chain_intact);
  EXPECT_FALSE(small.fleet->Audit(2, 0)->chain_intact);
  audit = untouched;
  audit.erase(3);
  EXPECT_FALSE(small.fleet->Audit(0, 0)->chain_intact);
  audit = untouched;
  audit.erase(audit.find(5), audit.end());  // the end is cut off: this process remembers it
  EXPECT_FALSE(small.fleet->Audit(0, 0)->chain_intact);
}

TEST_F(FleetOperatorsTest, StatusCounts) {
  small.AddTask();
  const std::string device = small.AddDevice();
  small.AddDevice();
  small.StartRound();
  small.CheckIn(device);
  EXPECT_EQ(small.fleet->Status().devices, 2u);
  EXPECT_EQ(small.fleet->Status().devices_seen_last_hour, 1u);
  EXPECT_EQ(small.fleet->Status().tasks, 1u);
  EXPECT_EQ(small.fleet->Status().open_rounds, 1u);
  small.clock.now += std::chrono::hours(1) + std::chrono::milliseconds(1);
  EXPECT_EQ(small.fleet->Status().devices_seen_last_hour, 0u);
}

TEST_F(FleetOperatorsTest, AFailedWriteChangesNothing) {
  small.AddTask();
  const std::string device = small.AddDevice("lamp");
  small.faulty.fault = [](uint64_t) { return WriteFault::kLost; };
  EXPECT_FALSE(small.fleet->PauseTask("ann", "home", true).ok());
  EXPECT_FALSE(small.fleet->TagDevice("ann", device, {"a"}, {}).ok());
  EXPECT_FALSE(small.fleet->RevokeDevice("ann", device).ok());
  EXPECT_FALSE(small.fleet->StartRound("ann", "home").ok());
  small.faulty.fault = [](uint64_t) { return WriteFault::kNone; };
  EXPECT_FALSE(small.fleet->Tasks("home")->front().paused);
  EXPECT_TRUE(small.fleet->Devices(device)->front().tags.empty());
  EXPECT_THAT(small.fleet->CheckDevice(device), IsOk());
  EXPECT_EQ(small.StartRound(), "home-1");
}

}  // namespace
}  // namespace fleetune
