#include "client/data/audit_log.h"

#include <thread>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;

class DeviceAuditLogTest : public testing::Test {
 protected:
  DeviceAuditLog Open() const { return *DeviceAuditLog::Open(folder_.path()); }

  // What somebody does who may write the file: the triggers go first.
  void Tamper(const char* sql) const {
    auto raw = DeviceDatabase::Open(folder_.File(kDeviceDataFile));
    ASSERT_THAT(raw, IsOk());
    ASSERT_THAT(raw->Execute("DROP TRIGGER device_audit_is_not_changed; DROP TRIGGER device_audit_is_not_shortened"),
                IsOk());
    ASSERT_THAT(raw->Execute(sql), IsOk());
  }

  static AuditEntry Entry(const std::string& text) {
    return {.time = FromMillis(1'800'000'000'123), .direction = AuditDirection::kLeft, .bytes = 4096, .text = text};
  }

  const TempFolder folder_;
};

TEST_F(DeviceAuditLogTest, GivesBackWhatWasAppended) {
  DeviceAuditLog log = Open();
  EXPECT_EQ(*log.Verify(), Digest());
  EXPECT_TRUE(log.Read(1, 10)->empty());
  EXPECT_TRUE(log.ReadLast(10)->empty());
  for (int i = 1; i <= 5; ++i) EXPECT_EQ(*log.Append(Entry("entry " + std::to_string(i))), i);
  const auto entries = Open().Read(2, 2);
  ASSERT_THAT(entries, IsOk());
  ASSERT_EQ(entries->size(), 2u);
  AuditEntry expected = Entry("entry 2");
  expected.sequence = 2;
  EXPECT_EQ(entries->front(), expected);
  EXPECT_EQ(entries->back().sequence, 3);
  EXPECT_EQ(log.ReadLast(2)->front().sequence, 4);
  EXPECT_EQ(log.ReadLast(100)->size(), 5u);
  EXPECT_TRUE(log.ReadLast(0)->empty());
}

TEST_F(DeviceAuditLogTest, HeadChangesWithEveryEntry) {
  DeviceAuditLog log = Open();
  ASSERT_THAT(log.Append(Entry("a")), IsOk());
  const Digest first = *log.Verify();
  ASSERT_THAT(log.Append(Entry("a")), IsOk());
  EXPECT_NE(*log.Verify(), first);
  EXPECT_EQ(*Open().Verify(), *log.Verify());
}

TEST_F(DeviceAuditLogTest, TextsHaveLimits) {
  DeviceAuditLog log = Open();
  EXPECT_THAT(log.Append(Entry("")), HasStatus(StatusCode::kInvalidArgument, "got 0"));
  EXPECT_THAT(log.Append(Entry(std::string(kMaxAuditTextBytes + 1, 'a'))),
              HasStatus(StatusCode::kInvalidArgument, "got 2049"));
  EXPECT_THAT(log.Append(Entry(std::string(kMaxAuditTextBytes, 'a'))), IsOk());
}

TEST_F(DeviceAuditLogTest, TheDatabaseRefusesChanges) {
  DeviceAuditLog log = Open();
  ASSERT_THAT(log.Append(Entry("a")), IsOk());
  auto raw = DeviceDatabase::Open(folder_.File(kDeviceDataFile));
  EXPECT_FALSE(raw->Execute("UPDATE device_audit SET text = 'b'").ok());
  EXPECT_FALSE(raw->Execute("DELETE FROM device_audit").ok());
  EXPECT_THAT(log.Verify(), IsOk());
}

TEST_F(DeviceAuditLogTest, EveryChangeIsFound) {
  const struct {
    const char* sql;
    const char* found;
  } changes[] = {
      {"UPDATE device_audit SET text = 'x' WHERE sequence = 2", "entry 2"},
      {"UPDATE device_audit SET time_ms = time_ms + 1 WHERE sequence = 3", "entry 3"},
      {"UPDATE device_audit SET bytes = 0 WHERE sequence = 1", "entry 1"},
      {"UPDATE device_audit SET direction = 2 WHERE sequence = 1", "entry 1"},
      {"UPDATE device_audit SET hash = zeroblob(32) WHERE sequence = 3", "entry 3"},
      {"UPDATE device_audit SET hash = zeroblob(0) WHERE sequence = 3", "entry 3"},
      {"DELETE FROM device_audit WHERE sequence = 2", "entry 2"},
      {"DELETE FROM device_audit WHERE sequence = 1", "entry 1"},
      {"UPDATE device_audit SET sequence = 4 WHERE sequence = 3", "entry 3"},
      {"INSERT INTO device_audit SELECT 4, time_ms, direction, bytes, text, hash FROM device_audit WHERE sequence = 3",
       "entry 4"},
      {"INSERT INTO device_audit SELECT 0, time_ms, direction, bytes, text, hash FROM device_audit WHERE sequence = 1",
       "entry 1"},
  };
  for (const auto& change : changes) {
    const TempFolder folder;
    auto log = DeviceAuditLog::Open(folder.path());
    for (int i = 0; i < 3; ++i) ASSERT_THAT(log->Append(Entry("entry")), IsOk());
    ASSERT_THAT(log->Verify(), IsOk());
    auto raw = DeviceDatabase::Open(folder.File(kDeviceDataFile));
    ASSERT_THAT(raw->Execute("DROP TRIGGER device_audit_is_not_changed; DROP TRIGGER device_audit_is_not_shortened"),
                IsOk());
    ASSERT_THAT(raw->Execute(change.sql), IsOk());
    EXPECT_THAT(log->Verify(), HasStatus(StatusCode::kDataLoss, change.found)) << change.sql;
  }
}

TEST_F(DeviceAuditLogTest, ALogThatWasCutShortHasAnotherHead) {
  DeviceAuditLog log = Open();
  for (int i = 0; i < 3; ++i) ASSERT_THAT(log.Append(Entry("entry")), IsOk());
  const Digest head = *log.Verify();
  Tamper("DELETE FROM device_audit WHERE sequence = 3");
  EXPECT_NE(*log.Verify(), head);
}

TEST_F(DeviceAuditLogTest, SeveralHandlesMayAppendAtOnce) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([this] {
      DeviceAuditLog log = Open();
      for (int i = 0; i < 10; ++i) EXPECT_THAT(log.Append(Entry("entry")), IsOk());
    });
  }
  for (std::thread& thread : threads) thread.join();
  DeviceAuditLog log = Open();
  EXPECT_EQ(log.ReadLast(100)->size(), 30u);
  EXPECT_THAT(log.Verify(), IsOk());
}

}  // namespace
}  // namespace fleetune
