// Whatever network, devices, disk and coordinator do: every round ends, what a device was told is counted is
// counted, and the version is made of exactly the updates that were counted, each once.

#include <cmath>
#include <memory>
#include <string>

#include "coordinator/store/sqlite_fleet_store.h"
#include "gtest/gtest.h"
#include "tests/sim/fleet_world.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

double Norm(std::span<const float> values) {
  double sum = 0;
  for (const float value : values) sum += double{value} * value;
  return std::sqrt(sum);
}

void ExpectAcknowledgedAreCounted(FleetWorld& world, const RoundView& view) {
  std::set<std::string> counted;
  for (const RoundDeviceView& device : view.devices) {
    if (device.state == "counted") counted.insert(device.device);
  }
  EXPECT_EQ(counted.size(), view.counted);
  EXPECT_EQ(world.counted[view.id], view.counted);
  for (const std::string& device : world.acknowledged[view.id]) EXPECT_TRUE(counted.contains(device)) << device;
}

void ExpectMadeOfTheCounted(FleetWorld& world, const RoundView& view) {
  const absl::StatusOr<DecodedUpdate> mean =
      SmallFleet::Encoder(view.id).Decode(world.expected_sum[view.id], view.counted);
  ASSERT_THAT(mean, IsOk());
  // Equal to the last bit: sums in the ring are exact, in any order.
  EXPECT_EQ(view.total_weight, mean->total_weight);
  EXPECT_EQ(view.mean_delta_norm, Norm(mean->mean));
  const Adapter before = *world.small.fleet->VersionAdapter("home", view.from_version);
  const Adapter after = *world.small.fleet->VersionAdapter("home", view.made_version);
  for (size_t i = 0; i < mean->mean.size(); ++i) {
    EXPECT_NEAR(after.b()[i] - before.b()[i], mean->mean[i], 2e-3);  // int8 rounding, and what it carried over
  }
}

void ExpectSound(FleetWorld& world, const std::string& round) {
  const absl::StatusOr<RoundView> view = world.small.fleet->Round(round);
  ASSERT_THAT(view, IsOk());
  ExpectAcknowledgedAreCounted(world, *view);
  if (view->state == "done") {
    EXPECT_GE(view->counted, view->needed);
    ExpectMadeOfTheCounted(world, *view);
  } else {
    EXPECT_EQ(view->state, "aborted");
    EXPECT_LT(view->counted, view->needed);
    EXPECT_EQ(view->made_version, 0u);
  }
}

void ExpectHealthyAtTheEnd(FleetWorld& world, uint32_t done) {
  const TaskView task = world.small.fleet->Tasks("home")->front();
  EXPECT_EQ(task.rounds_finished, done);
  EXPECT_EQ(task.head_version, done);
  EXPECT_TRUE(world.small.fleet->Audit(0, 1000)->chain_intact);
}

class FleetSimTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(FleetSimTest, RoundsEndAndCountEachUpdateOnce) {
  FleetWorld world(GetParam(), WorldFaults{});
  uint32_t done = 0;
  for (int i = 0; i < 3; ++i) {
    const std::string round = world.RunRound();
    ExpectSound(world, round);
    done += world.small.fleet->Round(round)->state == "done";
  }
  ExpectHealthyAtTheEnd(world, done);
}

INSTANTIATE_TEST_SUITE_P(Seeds, FleetSimTest, ::testing::Range<uint64_t>(0, 300));

// The same with devices that mostly fail: deadlines decide.
class FailingDevicesSimTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(FailingDevicesSimTest, RoundsEndAtTheirDeadline) {
  FleetWorld world(GetParam(), {.request_lost = 0.5, .answer_lost = 0.4, .device_dies = 0.3, .device_declines = 0.5});
  uint32_t done = 0;
  for (int i = 0; i < 2; ++i) {
    const std::string round = world.RunRound();
    ExpectSound(world, round);
    done += world.small.fleet->Round(round)->state == "done";
  }
  ExpectHealthyAtTheEnd(world, done);
}

INSTANTIATE_TEST_SUITE_P(Seeds, FailingDevicesSimTest, ::testing::Range<uint64_t>(1000, 1050));

// And over the real file, opened again each time the coordinator dies.
class SqliteSimTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(SqliteSimTest, RoundsEndAndCountEachUpdateOnce) {
  const TempFolder folder;
  std::unique_ptr<SqliteFleetStore> store;
  const auto reopen = [&]() -> FleetStore& {
    store.reset();
    store = *SqliteFleetStore::Open(folder.File("fleet.db"));
    return *store;
  };
  FleetWorld world(GetParam(), WorldFaults{}, reopen);
  const std::string round = world.RunRound();
  ExpectSound(world, round);
}

INSTANTIATE_TEST_SUITE_P(Seeds, SqliteSimTest, ::testing::Range<uint64_t>(2000, 2006));

TEST(FleetWorldTest, HasTeeth) {
  // Of these seeds some rounds are done and some aborted, some writes fail, some coordinators die.
  uint32_t done = 0;
  uint32_t aborted = 0;
  for (uint64_t seed = 1000; seed < 1040; ++seed) {
    FleetWorld world(seed, {.request_lost = 0.5, .answer_lost = 0.4, .device_dies = 0.3, .device_declines = 0.5});
    const std::string round = world.RunRound();
    const std::string state = world.small.fleet->Round(round)->state;
    done += state == "done";
    aborted += state == "aborted";
  }
  EXPECT_GE(done, 3u);
  EXPECT_GE(aborted, 3u);
}

}  // namespace
}  // namespace fleetune
