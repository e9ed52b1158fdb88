// The power goes at any write or sync of the coordinator's database, and what was not synced is lost or torn: every
// transaction that was acknowledged is there, whole, and of the one at hand all or nothing.

#include <memory>
#include <string>
#include <vector>

#include "base/random.h"
#include "base/status_macros.h"
#include "coordinator/store/power_loss_disk.h"
#include "coordinator/store/sqlite_fleet_store.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr char kRound[] = "home-1";
constexpr uint32_t kTransactions = 12;
constexpr size_t kSumElements = 3000;  // several pages

// What transaction `number` writes depends on its number alone. An event, a sum and an upload's chunk, as a coordinator
// writes them together.
absl::Status WriteTransaction(SqliteFleetStore& store, uint32_t number) {
  return store.Write([&](FleetTransaction& transaction) -> absl::Status {
    const Bytes event(100 + number, static_cast<uint8_t>(number));
    RETURN_IF_ERROR(transaction.AppendRoundEvent(kRound, number, event));
    RETURN_IF_ERROR(transaction.PutUpload({.round = kRound, .device = "d", .size = 5000, .sha256 = {}}));
    RETURN_IF_ERROR(transaction.PutUploadChunk(kRound, "d", 0, Bytes(5000, static_cast<uint8_t>(number))));
    return transaction.PutSum(kRound, RingVector(kSumElements, number));
  });
}

// How many transactions the store holds; -1 if it is not a state between two of them.
int WholeTransactions(SqliteFleetStore& store) {
  const absl::StatusOr<std::vector<Bytes>> events = store.RoundEvents(kRound);
  if (!events.ok()) return -1;
  const auto count = static_cast<uint32_t>(events->size());
  for (uint32_t i = 0; i < count; ++i) {
    if ((*events)[i] != Bytes(100 + i, static_cast<uint8_t>(i))) return -1;
  }
  const absl::StatusOr<RingVector> sum = store.Sum(kRound);
  if (count == 0) return absl::IsNotFound(sum.status()) ? 0 : -1;
  const absl::StatusOr<Bytes> upload = store.ReadUpload(kRound, "d");
  const bool agree = sum.ok() && *sum == RingVector(kSumElements, count - 1) && upload.ok() &&
                     *upload == Bytes(5000, static_cast<uint8_t>(count - 1));
  return agree ? static_cast<int>(count) : -1;
}

struct Outcome {
  bool sound = true;    // after every loss
  uint32_t losses = 0;  // of power
};

// Writes all transactions while the power goes now and then.
Outcome Live(uint64_t seed, bool lies_about_sync) {
  SplitMix64 random(seed);
  PowerLossDisk disk(random);
  if (lies_about_sync) disk.LieAboutSync();
  Outcome outcome;
  int acknowledged = 0;
  bool opened_before = false;
  while (acknowledged < static_cast<int>(kTransactions)) {
    if (outcome.losses < 6) disk.FailAfter(1 + random.Below(opened_before ? 60 : 150));
    {
      absl::StatusOr<std::unique_ptr<SqliteFleetStore>> store = SqliteFleetStore::Open("fleet.db");
      if (store.ok()) {
        opened_before = true;
        const int there = WholeTransactions(**store);
        // A read may fail, too, once the power is gone: no word about what is there.
        if (disk.HasPower() && (there < acknowledged || there > acknowledged + 1)) return {.sound = false};
        if (disk.HasPower()) acknowledged = there;
        while (acknowledged < static_cast<int>(kTransactions) &&
               WriteTransaction(**store, static_cast<uint32_t>(acknowledged)).ok()) {
          ++acknowledged;
        }
      } else if (disk.HasPower()) {
        return {.sound = false};
      }
    }
    if (!disk.HasPower()) {
      ++outcome.losses;
      disk.PowerOn();
    }
  }
  disk.FailAfter(UINT64_MAX);
  absl::StatusOr<std::unique_ptr<SqliteFleetStore>> store = SqliteFleetStore::Open("fleet.db");
  outcome.sound = store.ok() && WholeTransactions(**store) == static_cast<int>(kTransactions);
  return outcome;
}

TEST(PowerLossTest, WhatWasAcknowledgedIsThereAndWhole) {
  uint32_t losses = 0;
  for (uint64_t seed = 0; seed < 150; ++seed) {
    const Outcome outcome = Live(seed, /*lies_about_sync=*/false);
    ASSERT_TRUE(outcome.sound) << "seed " << seed;
    losses += outcome.losses;
  }
  EXPECT_GT(losses, 300u);
}

// So that the test above is known to see a loss: on a disk that does not sync, things are lost.
TEST(PowerLossTest, ADiskThatLiesAboutSyncLosesThings) {
  uint32_t unsound = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) unsound += Live(seed, /*lies_about_sync=*/true).sound ? 0 : 1;
  EXPECT_GT(unsound, 2u);
}

}  // namespace
}  // namespace fleetune
