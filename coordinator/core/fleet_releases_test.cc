#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kPrecondition = absl::StatusCode::kFailedPrecondition;
constexpr auto kNotFound = absl::StatusCode::kNotFound;

class FleetReleasesTest : public ::testing::Test {
 protected:
  void Start(const std::string& toml = SmallTask()) {
    small.AddTask(toml);
    for (int i = 0; i < 3; ++i) devices.push_back(small.AddDevice());
  }
  void MakeVersions(int count) {
    for (int i = 0; i < count; ++i) small.RunRound(devices, 0.01f);
  }
  TaskView Task() { return small.fleet->Tasks("home")->front(); }

  SmallFleet small;
  std::vector<std::string> devices;
};

TEST_F(FleetReleasesTest, RollbackGoesToTheVersionReleasedBefore) {
  Start();
  MakeVersions(3);
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 0), IsOk());
  EXPECT_EQ(Task().released_version, 2u);
  EXPECT_EQ(Task().head_version, 2u);
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 0), IsOk());
  EXPECT_EQ(Task().released_version, 1u);
  small.Reopen();
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 0), IsOk());
  EXPECT_EQ(Task().released_version, 0u);
  EXPECT_THAT(small.fleet->Rollback("ann", "home", 0), HasStatus(kPrecondition, "nothing before version 0"));
}

TEST_F(FleetReleasesTest, RollbackToAGivenVersion) {
  Start();
  MakeVersions(3);
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 1), IsOk());
  EXPECT_EQ(Task().released_version, 1u);
  EXPECT_THAT(small.fleet->Rollback("ann", "home", 1), HasStatus(kPrecondition, "not earlier"));
  EXPECT_THAT(small.fleet->Rollback("ann", "home", 3), HasStatus(kPrecondition, "not earlier"));
  EXPECT_THAT(small.fleet->Rollback("ann", "home", 9), HasStatus(kNotFound, "version 9"));
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 0), IsOk());
  EXPECT_EQ(Task().released_version, 0u);
}

TEST_F(FleetReleasesTest, AfterARollbackNumbersGoOnAndTheParentIsTheHead) {
  Start();
  MakeVersions(3);
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 1), IsOk());
  MakeVersions(1);
  const VersionView made = small.fleet->Versions("home")->back();
  EXPECT_EQ(made.version, 4u);
  EXPECT_EQ(made.parent, 1u);
  EXPECT_TRUE(made.head && made.released);
  // Devices on either branch find their way.
  const std::vector<VersionView> versions = *small.fleet->Versions("home");
  const auto from_1 =
      small.fleet->PlanUpdate("home", {.task = "home", .version = 1, .hash = versions[1].hash}, false, 4);
  ASSERT_THAT(from_1, IsOk());
  EXPECT_FALSE(from_1->front().snapshot);
  const auto from_3 =
      small.fleet->PlanUpdate("home", {.task = "home", .version = 3, .hash = versions[3].hash}, false, 4);
  EXPECT_TRUE(from_3->front().snapshot);
}

TEST_F(FleetReleasesTest, ARollbackDropsTheMomentumOfWhatWasGivenUp) {
  Start(SmallTask("[server]\nmomentum = 0.9\n"));
  MakeVersions(2);
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 0), IsOk());
  MakeVersions(1);  // with the momentum of version 2 this step would be twice as long
  const Adapter one = *small.fleet->VersionAdapter("home", 1);
  const Adapter three = *small.fleet->VersionAdapter("home", 3);
  EXPECT_NEAR(three.b()[0] - one.b()[0], 0.01f, 1e-3f);
}

TEST_F(FleetReleasesTest, WithoutAutoReleaseVersionsWait) {
  std::string toml = SmallTask();
  toml.insert(0, "auto_release = false\n");
  Start(toml);
  MakeVersions(2);
  EXPECT_EQ(Task().head_version, 2u);
  EXPECT_EQ(Task().released_version, 0u);
  EXPECT_EQ(small.fleet->CheckIn(devices[0], SmallFleet::ReadyReport())->tasks.front().released_version, 0u);
  ASSERT_THAT(small.fleet->Release("ann", "home", 2), IsOk());
  EXPECT_EQ(Task().released_version, 2u);
  EXPECT_EQ(small.fleet->CheckIn(devices[0], SmallFleet::ReadyReport())->tasks.front().released_hash,
            small.fleet->Versions("home")->at(2).hash);
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 0), IsOk());
  EXPECT_EQ(Task().released_version, 0u);
  EXPECT_EQ(Task().head_version, 0u);
}

TEST_F(FleetReleasesTest, ReleaseMovesTheHead) {
  Start();
  MakeVersions(2);
  ASSERT_THAT(small.fleet->Release("ann", "home", 1), IsOk());
  EXPECT_EQ(Task().head_version, 1u);
  EXPECT_THAT(small.fleet->Release("ann", "home", 3), HasStatus(kNotFound, "version 3"));
  EXPECT_THAT(small.fleet->Release("ann", "work", 1), HasStatus(kNotFound, "work"));
}

TEST_F(FleetReleasesTest, TheHeadStaysUnderAnOpenRound) {
  Start();
  MakeVersions(2);
  const std::string round = small.StartRound();
  EXPECT_THAT(small.fleet->Rollback("ann", "home", 0), HasStatus(kPrecondition, round));
  EXPECT_THAT(small.fleet->Release("ann", "home", 1), HasStatus(kPrecondition, round));
  EXPECT_THAT(small.fleet->Release("ann", "home", 2), IsOk());  // it is the head already
}

TEST_F(FleetReleasesTest, DifferencesByModule) {
  Start();
  MakeVersions(2);
  const auto modules = small.fleet->DiffVersions("home", 1, 2);
  ASSERT_THAT(modules, IsOk());
  ASSERT_EQ(modules->size(), 4u);
  EXPECT_EQ(modules->front().module, "blk.0.q");
  EXPECT_NEAR(modules->front().norm, 0.04, 1e-3);  // 16 values of 0.01
  EXPECT_NEAR(modules->front().relative, 1.0, 0.05);
  EXPECT_EQ(small.fleet->DiffVersions("home", 0, 1)->front().relative, 0.0);
  EXPECT_THAT(small.fleet->DiffVersions("home", 0, 7), HasStatus(kNotFound, "version 7"));
}

TEST_F(FleetReleasesTest, TheHistoryHasALimit) {
  Start();
  MakeVersions(2);
  for (int i = 0; i < 100; ++i) ASSERT_THAT(small.fleet->Release("ann", "home", 1 + i % 2), IsOk());
  EXPECT_EQ(small.memory.tables().tasks.at("home").releases.size(), 64u);
}

}  // namespace
}  // namespace fleetune
