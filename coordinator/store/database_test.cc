#include "coordinator/store/database.h"

#include <filesystem>
#include <string>

#include "base/files.h"
#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

class DatabaseTest : public ::testing::Test {
 protected:
  DatabaseTest() : database(*Database::Open(folder.path() + "/test.db")) {
    EXPECT_THAT(database->Execute("CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT"), IsOk());
  }

  absl::Status Insert(const std::string& name, std::span<const uint8_t> value) {
    ASSIGN_OR_RETURN(Statement statement, database->Prepare("INSERT INTO facts VALUES (?, ?)"));
    return statement.Bind(name).Bind(value).Run();
  }
  int64_t Rows() {
    absl::StatusOr<Statement> statement = database->Prepare("SELECT count(*) FROM facts");
    EXPECT_THAT(statement->Step(), IsOk());
    return statement->Int(0);
  }

  TempFolder folder;
  std::unique_ptr<Database> database;
};

TEST_F(DatabaseTest, SyncsEveryCommit) {
  absl::StatusOr<Statement> mode = database->Prepare("PRAGMA journal_mode");
  ASSERT_THAT(mode->Step(), IsOk());
  EXPECT_EQ(mode->Text(0), "wal");
  absl::StatusOr<Statement> synchronous = database->Prepare("PRAGMA synchronous");
  ASSERT_THAT(synchronous->Step(), IsOk());
  EXPECT_EQ(synchronous->Int(0), 2);  // FULL
}

TEST_F(DatabaseTest, AWriteIsWhole) {
  const Bytes value = {1, 2, 3};
  EXPECT_THAT(database->Write([&]() -> absl::Status {
    RETURN_IF_ERROR(Insert("a", value));
    return Insert("b", value);
  }),
              IsOk());
  EXPECT_EQ(Rows(), 2);
  EXPECT_THAT(database->Write([&]() -> absl::Status {
    RETURN_IF_ERROR(Insert("c", value));
    return absl::FailedPreconditionError("changed my mind");
  }),
              HasStatus(absl::StatusCode::kFailedPrecondition, "changed my mind"));
  EXPECT_EQ(Rows(), 2);
  // And the next one begins anew.
  EXPECT_THAT(database->Write([&] { return Insert("c", value); }), IsOk());
  EXPECT_EQ(Rows(), 3);
}

TEST_F(DatabaseTest, ATakenKeyRollsBack) {
  const Bytes value = {1};
  ASSERT_THAT(Insert("a", value), IsOk());
  EXPECT_THAT(database->Write([&]() -> absl::Status {
    RETURN_IF_ERROR(Insert("b", value));
    return Insert("a", value);
  }),
              HasStatus(absl::StatusCode::kAlreadyExists, "facts.name"));
  EXPECT_EQ(Rows(), 1);
}

TEST_F(DatabaseTest, EmptyBlobsAndTextsAreNotNull) {
  ASSERT_THAT(Insert("", {}), IsOk());
  absl::StatusOr<Statement> statement = database->Prepare("SELECT name, value FROM facts");
  ASSERT_THAT(statement->Step(), IsOk());
  EXPECT_FALSE(statement->IsNull(0));
  EXPECT_FALSE(statement->IsNull(1));
  EXPECT_TRUE(statement->Blob(1).empty());
  EXPECT_THAT(statement->ReadDigest(1), HasStatus(absl::StatusCode::kDataLoss, "got 0"));
}

TEST_F(DatabaseTest, BlobsAreReadInParts) {
  const Bytes value = {1, 2, 3, 4, 5};
  ASSERT_THAT(Insert("a", value), IsOk());
  const auto part = [&](uint64_t offset, uint64_t max_bytes) {
    return database->ReadBlobPart(
        {.table = "facts", .column = "value", .row = 1, .offset = offset, .max_bytes = max_bytes});
  };
  EXPECT_EQ(*part(0, 100), value);
  EXPECT_EQ(*part(1, 3), (Bytes{2, 3, 4}));
  EXPECT_EQ(*part(5, 3), Bytes{});
  EXPECT_THAT(part(6, 3), HasStatus(absl::StatusCode::kInvalidArgument, "expected at most 5, got 6"));
}

TEST_F(DatabaseTest, BadSqlIsAnError) {
  EXPECT_THAT(database->Prepare("SELECT nothing FROM nowhere"), HasStatus(absl::StatusCode::kUnavailable, "nowhere"));
  EXPECT_THAT(database->Execute("CREATE"), HasStatus(absl::StatusCode::kUnavailable, "CREATE"));
}

TEST_F(DatabaseTest, BackupIsACopy) {
  const Bytes value = {1};
  ASSERT_THAT(Insert("a", value), IsOk());
  const std::string copy_path = folder.path() + "/copy.db";
  ASSERT_THAT(database->Backup(copy_path), IsOk());
  ASSERT_THAT(Insert("b", value), IsOk());
  EXPECT_THAT(database->Backup(copy_path), HasStatus(absl::StatusCode::kAlreadyExists, "copy.db"));
  const auto copy = Database::Open(copy_path);
  ASSERT_THAT(copy, IsOk());
  absl::StatusOr<Statement> names = (*copy)->Prepare("SELECT name FROM facts");
  ASSERT_THAT(names->Step(), IsOk());
  EXPECT_EQ(names->Text(0), "a");
  EXPECT_FALSE(*names->Step());
}

TEST_F(DatabaseTest, AnotherWriterIsWaitedForThenUnavailable) {
  const std::string path = database->path();
  const auto other = Database::Open(path);
  ASSERT_THAT(other, IsOk());
  // While `other` is in a transaction, this connection cannot begin one. Without waiting: the test has no time.
  ASSERT_THAT(database->Execute("PRAGMA busy_timeout = 0"), IsOk());
  ASSERT_THAT((*other)->Execute("BEGIN IMMEDIATE"), IsOk());
  int runs = 0;
  EXPECT_THAT(database->Write([&] {
    ++runs;
    return absl::OkStatus();
  }),
              HasStatus(absl::StatusCode::kUnavailable, "locked"));
  EXPECT_EQ(runs, 0);
  ASSERT_THAT((*other)->Execute("COMMIT"), IsOk());
  EXPECT_THAT(database->Write([] { return absl::OkStatus(); }), IsOk());
}

TEST(DatabaseOpenTest, RefusesWhatIsNoDatabase) {
  const TempFolder folder;
  const std::string path = folder.path() + "/text.db";
  ASSERT_THAT(WriteFileAtomic(path, AsBytes(std::string(4096, 'x'))), IsOk());
  EXPECT_THAT(Database::Open(path), HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_THAT(Database::Open(folder.path() + "/none/test.db"), HasStatus(absl::StatusCode::kUnavailable, "none"));
}

}  // namespace
}  // namespace fleetune
