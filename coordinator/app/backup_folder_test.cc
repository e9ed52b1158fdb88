#include "coordinator/app/backup_folder.h"

#include "coordinator/store/sqlite_fleet_store.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

TEST(BackupFolderTest, BackupOpensAsTheSameFleet) {
  TempFolder temp;
  ManualClock clock;
  const auto store = SqliteFleetStore::Open(temp.File("fleet.db"));
  ASSERT_THAT(store, IsOk());
  SplitMix64 random(1);
  const SigningKey key = SigningKey::Generate();
  const FleetPorts ports{.store = store->get(),
                         .clock = &clock,
                         .random = &random,
                         .authority = &SmallFleet::Authority(),
                         .release_key = &key};
  const auto fleet = Fleet::Open(ports);
  ASSERT_THAT(fleet, IsOk());
  ASSERT_THAT((*fleet)->AddModel("ann", SmallModel()), IsOk());

  BackupFolder backups(temp.File("backups"), store->get(), &clock);
  const auto made = backups.Make();
  ASSERT_THAT(made, IsOk());
  EXPECT_GT(made->size_bytes, 0u);
  EXPECT_THAT(backups.Make(), HasStatus(absl::StatusCode::kAlreadyExists, ""));  // of the same millisecond

  const auto copy = SqliteFleetStore::Open(made->path);
  ASSERT_THAT(copy, IsOk());
  FleetPorts copied = ports;
  copied.store = copy->get();
  const auto reopened = Fleet::Open(copied);
  ASSERT_THAT(reopened, IsOk());
  ASSERT_EQ((*reopened)->Models().size(), 1u);
  EXPECT_EQ((*reopened)->Models()[0].name, SmallModel().name);
}

}  // namespace
}  // namespace fleetune
