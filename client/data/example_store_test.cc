#include "client/data/example_store.h"

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <thread>

#include "base/files.h"
#include "client/data/audit_log.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using ::testing::ElementsAre;

class FakeClock final : public Clock {
 public:
  TimePoint Now() const override { return now; }
  TimePoint now = FromMillis(1'800'000'000'000);
};

std::vector<Record> Texts(std::initializer_list<const char*> texts) {
  std::vector<Record> records;
  for (const char* text : texts) records.push_back(PlainText{.text = text});
  return records;
}

class ExampleStoreTest : public testing::Test {
 protected:
  ExampleStore Open(const ExampleLimits& limits = {}) const {
    auto store = ExampleStore::Open(folder_.path(), clock_, limits);
    EXPECT_THAT(store, IsOk());
    return *std::move(store);
  }
  DeviceDatabase Raw() const { return *DeviceDatabase::Open(folder_.File(kDeviceDataFile)); }
  bool FilesHold(std::string_view text) const {
    for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
      const Bytes bytes = *ReadFile(entry.path().string(), 1 << 24);
      if (AsText(bytes).find(text) != std::string_view::npos) return true;
    }
    return false;
  }
  Bytes WrappedKey() const {
    DeviceDatabase raw = Raw();
    auto select = raw.Prepare("SELECT wrapped FROM data_key");
    EXPECT_TRUE(*select->Step());
    return select->Blob(0);
  }

  const TempFolder folder_;
  FakeClock clock_;
};

TEST_F(ExampleStoreTest, GivesBackEveryKindOfRecordInOrder) {
  const std::vector<Record> records = {
      PlainText{.text = "Ein Satz mit ü und \"Anführung\"."},
      PromptCompletion{.prompt = "lights on", .completion = R"({"light":true})"},
      Chat{.messages = {{.role = "user", .content = "hi"}, {.role = "assistant", .content = "hello"}}},
  };
  EXPECT_EQ(*Open().Add("home", records), (AddedExamples{.added = 3, .duplicates = 0}));
  ExampleStore again = Open();
  EXPECT_EQ(*again.Read("home"), records);
  EXPECT_EQ(*again.Read(""), records);
  EXPECT_TRUE(again.Read("other")->empty());
}

TEST_F(ExampleStoreTest, NothingReadableLiesOnTheDisk) {
  ExampleStore store = Open();
  ASSERT_THAT(store.Add("home", Texts({"my diary of tuesday", "another page"})), IsOk());
  EXPECT_FALSE(FilesHold("diary"));
  EXPECT_FALSE(FilesHold("page"));
  EXPECT_FALSE(FilesHold("\"text\""));
}

TEST_F(ExampleStoreTest, DuplicatesWithinATagAreSkipped) {
  ExampleStore store = Open();
  EXPECT_EQ(*store.Add("a", Texts({"x", "y", "x"})), (AddedExamples{.added = 2, .duplicates = 1}));
  EXPECT_EQ(*store.Add("a", Texts({"y", "z"})), (AddedExamples{.added = 1, .duplicates = 1}));
  EXPECT_EQ(*store.Add("b", Texts({"x"})), (AddedExamples{.added = 1, .duplicates = 0}));
  // The same words as another kind of record are another example.
  EXPECT_EQ(*store.Add("a", std::vector<Record>{PromptCompletion{.prompt = "x", .completion = "x"}}),
            (AddedExamples{.added = 1, .duplicates = 0}));
  EXPECT_EQ(*store.Count("a"), 4u);
  EXPECT_EQ(*store.Count("b"), 1u);
  EXPECT_EQ(*store.Count(""), 5u);
  EXPECT_EQ(*store.Count("c"), 0u);
}

TEST_F(ExampleStoreTest, StatsTellSizesAndTimes) {
  ExampleStore store = Open();
  EXPECT_TRUE(store.Stats()->empty());
  const TimePoint first = clock_.now;
  ASSERT_THAT(store.Add("b", Texts({"x"})), IsOk());
  clock_.now += std::chrono::hours(1);
  ASSERT_THAT(store.Add("b", Texts({"yy"})), IsOk());
  ASSERT_THAT(store.Add("a", Texts({"z"})), IsOk());
  const TimePoint last = clock_.now;
  clock_.now += std::chrono::hours(1);
  ASSERT_THAT(store.Add("a", Texts({"z"})), IsOk());  // a duplicate is not added
  ASSERT_THAT(store.Add("c", {}), IsOk());
  const uint64_t size = FormatRecord(PlainText{.text = "x"}).size();
  EXPECT_THAT(*store.Stats(),
              ElementsAre(TagStats{.tag = "a", .examples = 1, .bytes = size, .first_added = last, .last_added = last},
                          TagStats{.tag = "b", .examples = 2, .bytes = 2 * size + 1, .first_added = first,
                                   .last_added = last}));
}

TEST_F(ExampleStoreTest, LimitsHoldFromBothSidesAndAddIsAllOrNothing) {
  const uint64_t size = FormatRecord(PlainText{.text = "x"}).size();
  ExampleStore few = Open({.max_examples = 2, .max_bytes = 1000});
  EXPECT_THAT(few.Add("a", Texts({"1", "2", "3"})), HasStatus(StatusCode::kResourceExhausted, "3 examples; at most 2"));
  EXPECT_EQ(*few.Count(""), 0u);
  EXPECT_THAT(few.Add("a", Texts({"1", "2", "1"})), IsOk());
  EXPECT_THAT(few.Add("b", Texts({"1"})), HasStatus(StatusCode::kResourceExhausted, "examples"));
  ExampleStore small = Open({.max_examples = 100, .max_bytes = 3 * size});
  EXPECT_THAT(small.Add("b", Texts({"12"})), HasStatus(StatusCode::kResourceExhausted, "bytes of examples"));
  EXPECT_THAT(small.Add("b", Texts({"1"})), IsOk());
  EXPECT_EQ(*small.Count(""), 3u);
}

TEST_F(ExampleStoreTest, TagsAndRecordsHaveLimits) {
  ExampleStore store = Open();
  for (const std::string& tag : {std::string(), std::string(65, 'a'), std::string("a\nb"), std::string("a\"b"),
                                 std::string("a\\b"), std::string("ä"), std::string("a\0b", 3)}) {
    EXPECT_THAT(store.Add(tag, Texts({"x"})), HasStatus(StatusCode::kInvalidArgument, "a data tag must be"));
  }
  EXPECT_THAT(store.Add(std::string(64, 'a'), Texts({"x"})), IsOk());
  EXPECT_THAT(store.Add("home/kitchen 2", Texts({"x"})), IsOk());
  const size_t overhead = FormatRecord(PlainText{.text = "x"}).size() - 1;
  EXPECT_THAT(store.Add("a", std::vector<Record>{PlainText{.text = std::string(kMaxRecordBytes - overhead, 'a')}}),
              IsOk());
  EXPECT_THAT(store.Add("a", std::vector<Record>{PlainText{.text = std::string(kMaxRecordBytes - overhead + 1, 'a')}}),
              HasStatus(StatusCode::kResourceExhausted, "an example has"));
  EXPECT_THAT(store.Read("a"), IsOk());
}

TEST_F(ExampleStoreTest, AFlippedBitIsDataLossThatNamesTheRow) {
  ExampleStore store = Open();
  ASSERT_THAT(store.Add("a", Texts({"first", "second"})), IsOk());
  DeviceDatabase raw = Raw();
  auto select = raw.Prepare("SELECT sealed FROM examples WHERE id = 2");
  ASSERT_TRUE(*select->Step());
  Bytes sealed = select->Blob(0);
  select->Reset();
  auto update = raw.Prepare("UPDATE examples SET sealed = ?1 WHERE id = 2");
  for (size_t byte = 0; byte < sealed.size(); byte += 5) {
    sealed[byte] ^= 0x10;
    update->Bind(1, sealed);
    ASSERT_THAT(update->Run(), IsOk());
    EXPECT_THAT(store.Read("a"), HasStatus(StatusCode::kDataLoss, "row 2"));
    sealed[byte] ^= 0x10;
  }
  update->Bind(1, sealed);
  ASSERT_THAT(update->Run(), IsOk());
  EXPECT_THAT(store.Read("a"), IsOk());
}

TEST_F(ExampleStoreTest, ARecordDoesNotOpenInAnotherRowOrUnderAnotherTag) {
  ExampleStore store = Open();
  ASSERT_THAT(store.Add("a", Texts({"first", "second"})), IsOk());
  ASSERT_THAT(Raw().Execute("UPDATE examples SET tag = 'b' WHERE id = 1"), IsOk());
  EXPECT_THAT(store.Read(""), HasStatus(StatusCode::kDataLoss, "row 1"));
  ASSERT_THAT(Raw().Execute("UPDATE examples SET tag = 'a', id = 7 WHERE id = 1"), IsOk());
  EXPECT_THAT(store.Read(""), HasStatus(StatusCode::kDataLoss, "row 7"));
}

TEST_F(ExampleStoreTest, ARowThatWasTakenOutIsDataLoss) {
  ExampleStore store = Open();
  ASSERT_THAT(store.Add("a", Texts({"first", "second"})), IsOk());
  ASSERT_THAT(Raw().Execute("DELETE FROM examples WHERE id = 2"), IsOk());
  EXPECT_THAT(store.Read("a"), HasStatus(StatusCode::kDataLoss, "holds 1 examples where 2"));
}

TEST_F(ExampleStoreTest, AnotherOrMissingKeyFileIsDataLoss) {
  { ASSERT_THAT(Open().Add("a", Texts({"x"})), IsOk()); }
  const Bytes key = *ReadFile(folder_.File("data.key"), 32);
  ASSERT_THAT(WriteFileAtomic(folder_.File("data.key"), Bytes(32, 1), 0600), IsOk());
  EXPECT_THAT(ExampleStore::Open(folder_.path(), clock_), HasStatus(StatusCode::kDataLoss, "does not belong"));
  std::filesystem::remove(folder_.File("data.key"));
  EXPECT_THAT(ExampleStore::Open(folder_.path(), clock_), HasStatus(StatusCode::kDataLoss, "is missing"));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("data.key")));  // none is made in its place
  ASSERT_THAT(WriteFileAtomic(folder_.File("data.key"), key, 0600), IsOk());
  EXPECT_EQ(*Open().Read(""), Texts({"x"}));
}

TEST_F(ExampleStoreTest, PurgeDestroysExamplesAndKey) {
  ExampleStore store = Open();
  ASSERT_THAT(store.Add("a", Texts({"x", "y"})), IsOk());
  DeviceDatabase raw = Raw();
  auto select = raw.Prepare("SELECT sealed FROM examples WHERE id = 1");
  ASSERT_TRUE(*select->Step());
  const Bytes sealed = select->Blob(0);
  select->Reset();
  ASSERT_TRUE(FilesHold(AsText(sealed)));
  const Bytes old_wrapped = WrappedKey();
  const Bytes old_key = *ReadFile(folder_.File("data.key"), 32);

  ASSERT_THAT(store.Purge(), IsOk());
  EXPECT_TRUE(store.Stats()->empty());
  EXPECT_TRUE(store.Read("")->empty());
  EXPECT_FALSE(FilesHold(AsText(sealed)));
  EXPECT_FALSE(FilesHold(AsText(old_wrapped)));
  EXPECT_FALSE(FilesHold(AsText(old_key)));
  EXPECT_FALSE(std::filesystem::exists(folder_.File("data.key.next")));
  // The store goes on under the new key.
  EXPECT_EQ(*store.Add("a", Texts({"x"})), (AddedExamples{.added = 1, .duplicates = 0}));
  EXPECT_EQ(*Open().Read("a"), Texts({"x"}));
}

TEST_F(ExampleStoreTest, TheHeldOutPartIsDrawnByOneSecretUntilAPurge) {
  ExampleStore store = Open();
  const Bytes secret = *store.HeldOutSecret();
  EXPECT_EQ(secret.size(), 32u);
  ASSERT_THAT(store.Add("a", Texts({"x"})), IsOk());
  EXPECT_EQ(*store.HeldOutSecret(), secret);
  EXPECT_EQ(*Open().HeldOutSecret(), secret);
  ASSERT_THAT(store.Purge(), IsOk());
  EXPECT_NE(*store.HeldOutSecret(), secret);
}

TEST_F(ExampleStoreTest, PurgeWorksWithoutTheKeyFile) {
  { ASSERT_THAT(Open().Add("a", Texts({"x"})), IsOk()); }
  std::filesystem::remove(folder_.File("data.key"));
  ASSERT_THAT(ExampleStore::PurgeFolder(folder_.path()), IsOk());
  ExampleStore store = Open();
  EXPECT_EQ(*store.Count(""), 0u);
  EXPECT_THAT(store.Add("a", Texts({"x"})), IsOk());
}

TEST_F(ExampleStoreTest, PurgeOfAnEmptyFolderLeavesAnEmptyStore) {
  EXPECT_THAT(ExampleStore::PurgeFolder(folder_.path()), IsOk());
  EXPECT_EQ(*Open().Count(""), 0u);
}

TEST_F(ExampleStoreTest, PurgeLeavesTheAuditLog) {
  auto log = DeviceAuditLog::Open(folder_.path());
  ASSERT_THAT(log, IsOk());
  ASSERT_THAT(log->Append({.time = clock_.now, .text = "Purged."}), IsOk());
  ASSERT_THAT(Open().Purge(), IsOk());
  EXPECT_EQ(log->Read(1, 10)->size(), 1u);
  EXPECT_THAT(log->Verify(), IsOk());
}

TEST_F(ExampleStoreTest, AnotherHandleSeesAPurgeAndUsesTheNewKey) {
  ExampleStore one = Open();
  ExampleStore two = Open();
  ASSERT_THAT(two.Add("a", Texts({"x"})), IsOk());
  EXPECT_EQ(*one.Read(""), Texts({"x"}));
  ASSERT_THAT(one.Purge(), IsOk());
  EXPECT_TRUE(two.Read("")->empty());
  ASSERT_THAT(two.Add("a", Texts({"y"})), IsOk());
  EXPECT_EQ(*one.Read(""), Texts({"y"}));
  EXPECT_EQ(*Open().Read(""), Texts({"y"}));
}

TEST_F(ExampleStoreTest, APurgeThatEndedAfterItsCommitIsCompletedByTheNextOpen) {
  { ASSERT_THAT(Open().Add("a", Texts({"x"})), IsOk()); }
  // As a crash between commit and the change of key files leaves it.
  const Bytes wrapped = *DataKeyFile(folder_.path()).WrapNewKeyUnderNextFile();
  DeviceDatabase raw = Raw();
  auto update = raw.Prepare("UPDATE data_key SET wrapped = ?1");
  update->Bind(1, wrapped);
  ASSERT_THAT(update->Run(), IsOk());
  ASSERT_THAT(raw.Execute("DELETE FROM examples; DELETE FROM example_tags;"), IsOk());
  ExampleStore store = Open();
  EXPECT_FALSE(std::filesystem::exists(folder_.File("data.key.next")));
  EXPECT_THAT(store.Add("a", Texts({"y"})), IsOk());
  EXPECT_EQ(*Open().Read(""), Texts({"y"}));
}

TEST_F(ExampleStoreTest, SeveralHandlesMayAddAtOnce) {
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 3; ++thread) {
    threads.emplace_back([this, thread] {
      ExampleStore store = Open();
      for (int i = 0; i < 10; ++i) {
        // One of its own and one that all of them add.
        const std::string own = std::to_string(thread) + "/" + std::to_string(i);
        const std::string shared = std::to_string(i);
        EXPECT_THAT(store.Add("a", Texts({own.c_str(), shared.c_str()})), IsOk());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ExampleStore store = Open();
  EXPECT_EQ(*store.Count("a"), 40u);
  EXPECT_EQ(store.Read("a")->size(), 40u);
}

TEST_F(ExampleStoreTest, AnotherProcessAddsToo) {
  // The child opens its own connection; none is open here when it begins.
  const pid_t child = ::fork();
  if (child == 0) {
    auto store = ExampleStore::Open(folder_.path(), clock_);
    ::_exit(store.ok() && store->Add("a", Texts({"from the child"})).ok() ? 0 : 1);
  }
  ExampleStore store = Open();
  EXPECT_THAT(store.Add("a", Texts({"from the parent"})), IsOk());
  int result = -1;
  ASSERT_EQ(::waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
  EXPECT_EQ(store.Read("a")->size(), 2u);
}

}  // namespace
}  // namespace fleetune
