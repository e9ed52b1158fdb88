#include "client/data/database.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "base/files.h"
#include "base/status_macros.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr const char* kSteps[] = {
    "CREATE TABLE things (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, content BLOB, "
    "size INTEGER CHECK (size >= 0)) STRICT",
    "CREATE TABLE more (id INTEGER PRIMARY KEY) STRICT; CREATE INDEX names ON things (name)",
};

class DeviceDatabaseTest : public testing::Test {
 protected:
  DeviceDatabase Open() const {
    auto database = DeviceDatabase::Open(folder_.File("test.db"));
    EXPECT_THAT(database, IsOk());
    EXPECT_THAT(database->Migrate("test", kSteps), IsOk());
    return *std::move(database);
  }
  static absl::Status Insert(DeviceDatabase& database, const std::string& name) {
    ASSIGN_OR_RETURN(DeviceStatement insert, database.Prepare("INSERT INTO things (name) VALUES (?1)"));
    insert.Bind(1, name);
    return insert.Run();
  }
  static int64_t Count(DeviceDatabase& database) {
    auto select = database.Prepare("SELECT count(*) FROM things");
    EXPECT_THAT(select, IsOk());
    EXPECT_TRUE(*select->Step());
    return select->Integer(0);
  }

  const TempFolder folder_;
};

// Whether another process could lock out this one's readers, and so take the database's log for its own to delete. The
// bytes are those that SQLite locks (os.h of its source: SHARED_FIRST, SHARED_SIZE).
bool AnotherProcessCouldLock(const std::string& path) {
  constexpr off_t kSharedFirst = 0x40000000 + 2;
  constexpr off_t kSharedSize = 510;
  const pid_t other = fork();
  if (other == 0) {
    const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC);
    struct flock lock = {};
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    lock.l_start = kSharedFirst;
    lock.l_len = kSharedSize;
    _exit(fd >= 0 && fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK ? 0 : 1);
  }
  int status = -1;
  EXPECT_EQ(waitpid(other, &status, 0), other);
  return status != 0;
}

// As in the daemon, which has one connection for the examples and one for its audit log.
TEST_F(DeviceDatabaseTest, ASecondConnectionLeavesTheFirstOnesLock) {
  DeviceDatabase first = Open();
  ASSERT_THAT(Insert(first, "before"), IsOk());
  EXPECT_FALSE(AnotherProcessCouldLock(folder_.File("test.db")));
  DeviceDatabase second = Open();
  ASSERT_THAT(Insert(second, "after"), IsOk());
  EXPECT_FALSE(AnotherProcessCouldLock(folder_.File("test.db")));
}

// As when `data add` and the daemon are the first to run on a device.
TEST_F(DeviceDatabaseTest, ProcessesMakeANewDatabaseTogether) {
  for (int round = 0; round < 20; ++round) {
    const std::string path = folder_.File("new-" + std::to_string(round));
    int start[2];
    ASSERT_EQ(pipe(start), 0);
    std::vector<pid_t> children;
    for (int i = 0; i < 6; ++i) {
      children.push_back(fork());
      if (children.back() != 0) continue;
      close(start[1]);
      char byte;
      (void)!read(start[0], &byte, 1);  // its end: all are there
      auto database = DeviceDatabase::Open(path);
      _exit(database.ok() && database->Migrate("test", kSteps).ok() ? 0 : 1);
    }
    close(start[0]);
    close(start[1]);
    for (const pid_t child : children) {
      int status = -1;
      EXPECT_EQ(waitpid(child, &status, 0), child);
      EXPECT_EQ(status, 0);
    }
  }
}

TEST_F(DeviceDatabaseTest, GivesBackWhatWasBound) {
  DeviceDatabase database = Open();
  auto insert = database.Prepare("INSERT INTO things VALUES (?1, ?2, ?3, ?4)");
  ASSERT_THAT(insert, IsOk());
  insert->Bind(1, INT64_MIN);
  insert->Bind(2, std::string("a\0b", 3));
  insert->Bind(3, Bytes{0, 1, 255});
  insert->Bind(4, 7);
  ASSERT_THAT(insert->Run(), IsOk());
  insert->Bind(1, 1);
  insert->Bind(2, std::string_view());
  insert->Bind(3, Bytes());
  insert->BindNull(4);
  ASSERT_THAT(insert->Run(), IsOk());

  auto select = database.Prepare("SELECT * FROM things ORDER BY id");
  ASSERT_THAT(select, IsOk());
  ASSERT_TRUE(*select->Step());
  EXPECT_EQ(select->Integer(0), INT64_MIN);
  EXPECT_EQ(select->Text(1), std::string("a\0b", 3));
  EXPECT_EQ(select->Blob(2), (Bytes{0, 1, 255}));
  EXPECT_EQ(select->Integer(3), 7);
  EXPECT_FALSE(select->IsNull(3));
  ASSERT_TRUE(*select->Step());
  EXPECT_EQ(select->Text(1), "");
  EXPECT_TRUE(select->Blob(2).empty());
  EXPECT_FALSE(select->IsNull(2));
  EXPECT_TRUE(select->IsNull(3));
  EXPECT_EQ(select->Integer(3), 0);
  EXPECT_FALSE(*select->Step());
  EXPECT_TRUE(*select->Step());  // from the beginning again
}

TEST_F(DeviceDatabaseTest, FileIsItsOwnersOnly) {
  (void)Open();
  struct stat info {};
  ASSERT_EQ(::stat(folder_.File("test.db").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, mode_t{0600});
}

TEST_F(DeviceDatabaseTest, ErrorsHaveTheirCodes) {
  DeviceDatabase database = Open();
  EXPECT_THAT(database.Prepare("SELECT nothing FROM nowhere"), HasStatus(StatusCode::kInternal, "nowhere"));
  ASSERT_THAT(Insert(database, "a"), IsOk());
  EXPECT_THAT(Insert(database, "a"), HasStatus(StatusCode::kAlreadyExists, "UNIQUE"));
  EXPECT_THAT(database.Execute("INSERT INTO things (id, name) VALUES (1, 'b')"),
              HasStatus(StatusCode::kAlreadyExists, "UNIQUE"));
  EXPECT_THAT(database.Execute("INSERT INTO things (name, size) VALUES ('b', -1)"),
              HasStatus(StatusCode::kInvalidArgument, "CHECK"));
  EXPECT_THAT(DeviceDatabase::Open(folder_.File("none/test.db")), HasStatus(StatusCode::kNotFound, "none/test.db"));
  EXPECT_FALSE(DeviceDatabase::Open(folder_.path()).ok());
  ASSERT_THAT(WriteFileAtomic(folder_.File("text"), Bytes(4096, 'x')), IsOk());
  EXPECT_THAT(DeviceDatabase::Open(folder_.File("text")), HasStatus(StatusCode::kDataLoss, folder_.File("text")));
}

TEST_F(DeviceDatabaseTest, WriteCommitsOrRollsBack) {
  DeviceDatabase database = Open();
  EXPECT_THAT(database.Write([&] { return Insert(database, "a"); }), IsOk());
  EXPECT_THAT(database.Write([&]() -> absl::Status {
    RETURN_IF_ERROR(Insert(database, "b"));
    return absl::OutOfRangeError("no");
  }),
              HasStatus(StatusCode::kOutOfRange, "no"));
  EXPECT_THAT(database.Write([&]() -> absl::Status {
    RETURN_IF_ERROR(Insert(database, "c"));
    return Insert(database, "a");
  }),
              HasStatus(StatusCode::kAlreadyExists, "UNIQUE"));
  EXPECT_EQ(Count(database), 1);
  EXPECT_THAT(database.Write([&] { return Insert(database, "d"); }), IsOk());
}

TEST_F(DeviceDatabaseTest, ReadSeesOneStateAndRefusesWrites) {
  DeviceDatabase reader = Open();
  DeviceDatabase writer = Open();
  EXPECT_THAT(reader.Read([&]() -> absl::Status {
    EXPECT_EQ(Count(reader), 0);
    RETURN_IF_ERROR(writer.Write([&] { return Insert(writer, "a"); }));
    EXPECT_EQ(Count(reader), 0);
    return absl::OkStatus();
  }),
              IsOk());
  EXPECT_EQ(Count(reader), 1);
  EXPECT_THAT(reader.Read([&] { return Insert(reader, "b"); }), HasStatus(StatusCode::kPermissionDenied, "readonly"));
  EXPECT_THAT(Insert(reader, "b"), IsOk());  // outside of it again
}

TEST_F(DeviceDatabaseTest, MigratesEachStepOnce) {
  auto database = DeviceDatabase::Open(folder_.File("test.db"));
  ASSERT_THAT(database, IsOk());
  EXPECT_THAT(database->Migrate("test", std::span(kSteps).first(1)), IsOk());
  ASSERT_THAT(Insert(*database, "kept"), IsOk());
  EXPECT_THAT(database->Migrate("test", kSteps), IsOk());
  EXPECT_THAT(database->Migrate("test", kSteps), IsOk());
  EXPECT_EQ(Count(*database), 1);
  EXPECT_THAT(database->Execute("INSERT INTO more VALUES (1)"), IsOk());
  // An older program than the one that made the tables.
  EXPECT_THAT(database->Migrate("test", std::span(kSteps).first(1)),
              HasStatus(StatusCode::kFailedPrecondition, "version 2; this program knows up to 1"));
}

TEST_F(DeviceDatabaseTest, AFailedStepLeavesNothing) {
  auto database = DeviceDatabase::Open(folder_.File("test.db"));
  ASSERT_THAT(database, IsOk());
  constexpr const char* kBroken[] = {kSteps[0], "CREATE NONSENSE"};
  EXPECT_THAT(database->Migrate("test", kBroken), HasStatus(StatusCode::kInternal, "NONSENSE"));
  EXPECT_THAT(database->Migrate("test", kSteps), IsOk());
}

TEST_F(DeviceDatabaseTest, SeveralConnectionsMayOpenAndWriteAtOnce) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; ++thread) {
    threads.emplace_back([this, thread] {
      DeviceDatabase database = Open();
      for (int i = 0; i < 10; ++i) {
        const std::string name = std::to_string(thread) + "/" + std::to_string(i);
        EXPECT_THAT(database.Write([&] { return Insert(database, name); }), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  DeviceDatabase database = Open();
  EXPECT_EQ(Count(database), 40);
}

TEST_F(DeviceDatabaseTest, VacuumLeavesNothingOfWhatWasDeleted) {
  DeviceDatabase database = Open();
  ASSERT_THAT(Insert(database, "a-name-to-be-forgotten"), IsOk());
  ASSERT_THAT(database.Execute("DELETE FROM things"), IsOk());
  ASSERT_THAT(database.Vacuum(), IsOk());
  for (const char* file : {"test.db", "test.db-wal"}) {
    const Bytes bytes = *ReadFile(folder_.File(file), 1 << 20);
    EXPECT_EQ(AsText(bytes).find("forgotten"), std::string_view::npos) << file;
  }
}

}  // namespace
}  // namespace fleetune
