// SCAFFOLD at the coordinator: the second half of an update moves c, and devices fetch it.

#include <cstring>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::FloatNear;
using testing::IsEmpty;

constexpr size_t kValues = SmallFleet::kParameters;

std::string ControlledTask(const std::string& trained = "b") {
  return "name = \"home\"\nbase = \"small.gguf\"\nsecure_aggregation = \"off\"\n[adapter]\nrank = 2\ntrained = \"" +
         trained +
         "\"\n[training]\ncontrol_variates = true\n[update]\nlane_bits = 32\nclip_norm = 1000\n[round]\n"
         "invited = 2\nneeded = 2\n";
}

class FleetControlTest : public ::testing::Test {
 protected:
  // Four devices, of which each round counts two.
  void Begin(const std::string& toml = ControlledTask()) {
    small.AddTask(toml);
    for (int i = 0; i < 4; ++i) devices.push_back(small.AddDevice());
  }

  // All values of the delta are `delta`, all changes of c_i `change`.
  Bytes Update(const std::string& round, uint32_t from, float delta, float change) {
    const TaskSpec task = small.fleet->Tasks("home")->front().spec;
    const AdapterSpec spec = small.fleet->VersionAdapter("home", from)->spec();
    const auto encoder = UpdateEncoder::Create(
        UpdateOptions({.plan = task.plan, .spec = spec, .from_version = from, .round = round}).value());
    EXPECT_THAT(encoder, IsOk());
    std::vector<float> values(kValues, delta);
    values.resize(2 * kValues, change);
    SplitMix64 rounding(1);
    return PackLanes(encoder->Encode({.values = std::move(values)}, rounding)->ring, LaneBits::k32);
  }

  // A round of devices i and i + 1.
  void Run(uint32_t from, size_t i, float delta, float change) {
    const std::string round = small.StartRound();
    for (const size_t device : {i, i + 1}) {
      ASSERT_EQ(small.CheckIn(devices[device]), round);
      ASSERT_THAT(small.Send(devices[device], round, Update(round, from, delta, change)), IsOk());
    }
    ASSERT_EQ(small.fleet->Round(round)->state, "done") << small.fleet->Round(round)->reason;
  }

  std::vector<float> Fetch(const std::string& device, const std::string& round) {
    const absl::StatusOr<ServerControlPart> part = small.fleet->FetchControl(device, round, 0);
    EXPECT_THAT(part, IsOk());
    EXPECT_EQ(part->size_bytes, part->bytes.size());  // it is small
    EXPECT_EQ(part->sha256, Sha256(part->bytes));
    std::vector<float> values(part->bytes.size() / sizeof(float));
    if (!values.empty()) std::memcpy(values.data(), part->bytes.data(), part->bytes.size());
    return values;
  }

  SmallFleet small;
  std::vector<std::string> devices;
};

TEST_F(FleetControlTest, CMovesByTheShareOfDevicesThatWereCounted) {
  Begin();
  Run(0, 0, 0.5f, 3);
  const std::vector<float> b = small.memory.FindServerState("home")->b.control;
  EXPECT_EQ(b.size(), kValues);
  EXPECT_THAT(b, Each(FloatNear(1.5f, 1e-4f)));  // 2 of 4
  // The step is of the first half alone.
  const Adapter adapter = *small.fleet->VersionAdapter("home", 1);
  EXPECT_THAT(adapter.b(), Each(FloatNear(0.5f, 0.01f)));
  EXPECT_NEAR(small.fleet->Round("home-1")->mean_delta_norm, 0.5 * 8, 1e-3);
  Run(1, 2, 0, -1);
  EXPECT_THAT(small.memory.FindServerState("home")->b.control, Each(FloatNear(1.0f, 1e-4f)));
}

TEST_F(FleetControlTest, InvitedDevicesFetchIt) {
  Begin();
  Run(0, 0, 0.5f, 3);
  const std::string round = small.StartRound();
  EXPECT_THAT(small.fleet->FetchControl(devices[0], round, 0),
              HasStatus(StatusCode::kFailedPrecondition, "not invited"));
  ASSERT_EQ(small.CheckIn(devices[0]), round);
  EXPECT_THAT(Fetch(devices[0], round), Each(FloatNear(1.5f, 1e-4f)));
  EXPECT_EQ(Fetch(devices[0], round).size(), kValues);
  const auto end = small.fleet->FetchControl(devices[0], round, kValues * 4);
  ASSERT_THAT(end, IsOk());
  EXPECT_THAT(end->bytes, IsEmpty());
  EXPECT_EQ(end->size_bytes, kValues * 4);
  EXPECT_THAT(small.fleet->FetchControl(devices[0], round, kValues * 4 + 1),
              HasStatus(StatusCode::kInvalidArgument, "offset"));
  EXPECT_EQ(small.fleet->Round("home-1")->bytes_down, 2 * kValues * 4);
  EXPECT_THAT(small.fleet->FetchControl(devices[0], "home-1", 0), HasStatus(StatusCode::kFailedPrecondition, "over"));
  EXPECT_THAT(small.fleet->FetchControl(devices[0], "home-9", 0), HasStatus(StatusCode::kNotFound, ""));
}

TEST_F(FleetControlTest, ZerosDoNotTravel) {
  Begin();
  const std::string round = small.StartRound();
  ASSERT_EQ(small.CheckIn(devices[0]), round);
  EXPECT_THAT(Fetch(devices[0], round), IsEmpty());
}

// One that was interrupted goes on at its offset, also at a coordinator that began anew meanwhile.
TEST_F(FleetControlTest, PartsAreOfOneWholeUntilTheRoundIsOver) {
  Begin();
  Run(0, 0, 0.5f, 3);
  const std::string round = small.StartRound();
  ASSERT_EQ(small.CheckIn(devices[0]), round);
  const Bytes whole = small.fleet->FetchControl(devices[0], round, 0)->bytes;
  small.Reopen();
  const auto rest = small.fleet->FetchControl(devices[0], round, 100);
  ASSERT_THAT(rest, IsOk());
  EXPECT_EQ(rest->bytes, Bytes(whole.begin() + 100, whole.end()));
  EXPECT_EQ(rest->sha256, Sha256(whole));
  // The next round's are others.
  ASSERT_EQ(small.CheckIn(devices[1]), round);
  for (const size_t i : {0, 1}) ASSERT_THAT(small.Send(devices[i], round, Update(round, 1, 0, 1)), IsOk());
  const std::string next = small.StartRound();
  ASSERT_EQ(small.CheckIn(devices[0]), next);
  EXPECT_THAT(Fetch(devices[0], next), Each(FloatNear(2.0f, 1e-4f)));
}

TEST_F(FleetControlTest, EachFactorHasItsOwn) {
  Begin(ControlledTask("alternating"));
  Run(0, 0, 0.5f, 2);
  EXPECT_THAT(small.memory.FindServerState("home")->a.control, IsEmpty());
  Run(1, 0, 0.5f, 4);
  EXPECT_THAT(small.memory.FindServerState("home")->b.control, Each(FloatNear(1.0f, 1e-4f)));
  EXPECT_THAT(small.memory.FindServerState("home")->a.control, Each(FloatNear(2.0f, 1e-4f)));
}

// The devices' do not roll back, so their mean must not.
TEST_F(FleetControlTest, ARollbackLeavesThem) {
  Begin();
  Run(0, 0, 0.5f, 3);
  Run(1, 2, 0.5f, 3);
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 1), IsOk());
  Run(1, 0, 0, 0);
  EXPECT_THAT(small.memory.FindServerState("home")->b.control, Each(FloatNear(3.0f, 1e-4f)));
}

TEST_F(FleetControlTest, ATaskWithWhatTheyDoNotGoWithIsRefusedByName) {
  ASSERT_THAT(small.fleet->AddModel("ann", SmallModel()), IsOk());
  std::string toml = ControlledTask();
  toml.replace(toml.find("lane_bits = 32"), 14, "lane_bits = 16");
  EXPECT_THAT(small.fleet->CreateTask("ann", toml), HasStatus(StatusCode::kInvalidArgument, "lane_bits = 24 or 32"));
}

TEST_F(FleetControlTest, ATaskWithoutThemHasNoneToFetch) {
  small.AddTask();
  devices.push_back(small.AddDevice());
  const std::string round = small.StartRound();
  ASSERT_EQ(small.CheckIn(devices[0]), round);
  EXPECT_THAT(small.fleet->FetchControl(devices[0], round, 0),
              HasStatus(StatusCode::kFailedPrecondition, "no control variates"));
}

}  // namespace
}  // namespace fleetune
