#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lora/update/adapter_update.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

// Three versions, each from a round of its own.
class FleetVersionsTest : public ::testing::Test {
 protected:
  FleetVersionsTest() {
    small.AddTask();
    for (int i = 0; i < 3; ++i) devices.push_back(small.AddDevice());
    for (const float value : {0.01f, 0.02f, -0.01f}) small.RunRound(devices, value);
  }

  HeldAdapterVersion Held(uint32_t version) {
    return {.task = "home", .version = version, .hash = small.fleet->Versions("home")->at(version).hash};
  }
  std::vector<UpdatePieceRef> Plan(const HeldAdapterVersion& have, uint32_t want, bool nothing = false) {
    const auto plan = small.fleet->PlanUpdate("home", have, nothing, want);
    EXPECT_THAT(plan, IsOk());
    return *plan;
  }
  Bytes Fetch(const UpdatePieceRef& piece) {
    Bytes bytes;
    while (bytes.size() < piece.size) {
      const absl::StatusOr<Bytes> part = small.fleet->FetchUpdate(devices[0], "home", piece.sha256, bytes.size());
      EXPECT_THAT(part, IsOk());
      if (!part.ok() || part->empty()) break;
      bytes.insert(bytes.end(), part->begin(), part->end());
    }
    return bytes;
  }
  // What a device does with a plan.
  absl::StatusOr<Adapter> Follow(Adapter adapter, const std::vector<UpdatePieceRef>& plan) {
    const TrainingPlan task = small.fleet->Tasks("home")->front().spec.plan;
    for (const UpdatePieceRef& piece : plan) {
      const Bytes bytes = Fetch(piece);
      EXPECT_EQ(Sha256(bytes), piece.sha256);
      absl::StatusOr<SignedUpdate> update = ParseUpdate(bytes);
      if (!update.ok()) return update.status();
      absl::StatusOr<Adapter> next = ApplyUpdate(
          *update, adapter, {.task = "home", .base = task.base, .seed = task.seed}, small.release_key.verify_key());
      if (!next.ok()) return next.status();
      adapter = *std::move(next);
    }
    return adapter;
  }

  SmallFleet small;
  std::vector<std::string> devices;
};

TEST_F(FleetVersionsTest, AChainLeadsFromAnAncestor) {
  const std::vector<UpdatePieceRef> plan = Plan(Held(2), 3);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_EQ(plan[0].version, 3u);
  EXPECT_FALSE(plan[0].snapshot);
  const absl::StatusOr<Adapter> followed = Follow(*small.fleet->VersionAdapter("home", 2), plan);
  ASSERT_THAT(followed, IsOk());
  EXPECT_EQ(AdapterHash(*followed, small.fleet->Tasks("home")->front().spec.plan.seed), Held(3).hash);
}

TEST_F(FleetVersionsTest, WhoeverHoldsNothingGetsASnapshot) {
  const std::vector<UpdatePieceRef> plan = Plan({}, 3, true);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_TRUE(plan[0].snapshot);
  const absl::StatusOr<Adapter> followed = Follow(*small.fleet->VersionAdapter("home", 0), plan);
  ASSERT_THAT(followed, IsOk());
  EXPECT_EQ(AdapterHash(*followed, small.fleet->Tasks("home")->front().spec.plan.seed), Held(3).hash);
}

TEST_F(FleetVersionsTest, AnotherHashOrAnUnknownVersionGetsASnapshot) {
  HeldAdapterVersion damaged = Held(2);
  damaged.hash.bytes[0] ^= 1;
  EXPECT_TRUE(Plan(damaged, 3).front().snapshot);
  HeldAdapterVersion unknown = Held(2);
  unknown.version = 99;
  EXPECT_TRUE(Plan(unknown, 3).front().snapshot);
  damaged = Held(3);
  damaged.hash.bytes[0] ^= 1;
  EXPECT_TRUE(Plan(damaged, 3).front().snapshot);
}

TEST_F(FleetVersionsTest, TheSmallerWayIsTaken) {
  uint64_t chain = 0;
  for (uint32_t version = 1; version <= 3; ++version) chain += small.fleet->Versions("home")->at(version).update_bytes;
  const uint64_t snapshot = small.fleet->Versions("home")->at(3).snapshot_bytes;
  const std::vector<UpdatePieceRef> plan = Plan(Held(0), 3);
  EXPECT_EQ(plan.size(), chain <= snapshot ? 3u : 1u);
  EXPECT_EQ(plan.front().snapshot, chain > snapshot);
}

TEST_F(FleetVersionsTest, NothingTravelsToWhoeverIsThereOrToVersionZero) {
  EXPECT_TRUE(Plan(Held(3), 3).empty());
  EXPECT_TRUE(Plan(Held(3), 0).empty());
  EXPECT_TRUE(Plan({}, 0, true).empty());
}

TEST_F(FleetVersionsTest, BackToAnOlderVersionGoesByASnapshot) {
  const std::vector<UpdatePieceRef> plan = Plan(Held(3), 1);
  ASSERT_EQ(plan.size(), 1u);
  EXPECT_TRUE(plan[0].snapshot);
  EXPECT_EQ(plan[0].version, 1u);
}

TEST_F(FleetVersionsTest, UnknownThingsAreNotFound) {
  EXPECT_THAT(small.fleet->PlanUpdate("work", {}, true, 1), HasStatus(absl::StatusCode::kNotFound, "work"));
  EXPECT_THAT(small.fleet->PlanUpdate("home", {}, true, 4), HasStatus(absl::StatusCode::kNotFound, "version 4"));
  EXPECT_THAT(small.fleet->FetchUpdate(devices[0], "home", Digest{}, 0),
              HasStatus(absl::StatusCode::kNotFound, "piece"));
  EXPECT_THAT(small.fleet->VersionAdapter("home", 4), HasStatus(absl::StatusCode::kNotFound, "version 4"));
}

TEST_F(FleetVersionsTest, DownloadsResumeAtAnyOffset) {
  const UpdatePieceRef piece = Plan({}, 3, true).front();
  const Bytes whole = Fetch(piece);
  ASSERT_EQ(whole.size(), piece.size);
  const absl::StatusOr<Bytes> rest = small.fleet->FetchUpdate(devices[0], "home", piece.sha256, 5);
  ASSERT_THAT(rest, IsOk());
  EXPECT_TRUE(std::equal(rest->begin(), rest->end(), whole.begin() + 5));
  EXPECT_TRUE(small.fleet->FetchUpdate(devices[0], "home", piece.sha256, piece.size)->empty());
  EXPECT_THAT(small.fleet->FetchUpdate(devices[0], "home", piece.sha256, piece.size + 1),
              HasStatus(absl::StatusCode::kInvalidArgument, "offset"));
}

TEST_F(FleetVersionsTest, BytesDownGoToTheRoundThatMadeTheVersion) {
  const UpdatePieceRef second = Plan(Held(1), 2).front();
  (void)Fetch(second);
  EXPECT_EQ(small.fleet->Round("home-2")->bytes_down, second.size);
  EXPECT_EQ(small.fleet->Round("home-1")->bytes_down, 0u);
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  small.Reopen();
  EXPECT_EQ(small.fleet->Round("home-2")->bytes_down, second.size);
  (void)Fetch(second);
  EXPECT_EQ(small.fleet->Rounds("home")[1].bytes_down, 2 * second.size);
}

TEST_F(FleetVersionsTest, VersionsSurviveACrash) {
  const std::vector<VersionView> before = *small.fleet->Versions("home");
  small.Reopen();
  const std::vector<VersionView> after = *small.fleet->Versions("home");
  ASSERT_EQ(after.size(), 4u);
  for (size_t i = 0; i < after.size(); ++i) EXPECT_EQ(after[i].hash, before[i].hash);
  EXPECT_TRUE(after[3].head);
  EXPECT_TRUE(after[3].released);
  EXPECT_EQ(after[3].parent, 2u);
  EXPECT_EQ(after[3].round, "home-3");
}

}  // namespace
}  // namespace fleetune
