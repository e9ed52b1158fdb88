#include "coordinator/store/migrations.h"

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

TEST(MigrationsTest, AFreshFileGetsTheSchemaOnce) {
  const TempFolder folder;
  const auto database = Database::Open(folder.path() + "/fleet.db");
  ASSERT_THAT(database, IsOk());
  ASSERT_THAT(Migrate(**database), IsOk());
  EXPECT_THAT((*database)->Prepare("SELECT sequence FROM audit"), IsOk());
  EXPECT_THAT(Migrate(**database), IsOk());
  const auto version = (*database)->Prepare("PRAGMA user_version");
  ASSERT_THAT(version, IsOk());
}

TEST(MigrationsTest, AStepThatFailsLeavesNothing) {
  const TempFolder folder;
  const auto database = Database::Open(folder.path() + "/fleet.db");
  ASSERT_THAT((*database)->Execute("CREATE TABLE audit (other TEXT)"), IsOk());  // in the way of the last table
  EXPECT_FALSE(Migrate(**database).ok());
  EXPECT_FALSE((*database)->Prepare("SELECT * FROM tokens").ok());
}

TEST(MigrationsTest, ANewerSchemaIsRefused) {
  const TempFolder folder;
  const auto database = Database::Open(folder.path() + "/fleet.db");
  ASSERT_THAT(Migrate(**database), IsOk());
  ASSERT_THAT((*database)->Execute("PRAGMA user_version = 99"), IsOk());
  EXPECT_THAT(Migrate(**database), HasStatus(absl::StatusCode::kFailedPrecondition, "has schema 99"));
}

}  // namespace
}  // namespace fleetune
