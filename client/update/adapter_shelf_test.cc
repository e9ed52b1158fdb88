#include "client/update/adapter_shelf.h"

#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "client/update/update_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using update_fixture::FakePublisher;
using update_fixture::Stored;

class AdapterShelfTest : public ::testing::Test {
 protected:
  StoredVersion Version(uint32_t version) const { return Stored(version, publisher_.adapter(version)); }

  void KeepAndServe(uint32_t version) {
    ASSERT_THAT(shelf_.Keep(Version(version)), IsOk());
    ASSERT_THAT(shelf_.Serve(publisher_.version(version)), IsOk());
  }

  std::vector<std::string> Files() const {
    std::vector<std::string> files;
    for (const auto& entry : fs::directory_iterator(folder_.path() + "/t")) {
      if (entry.path().extension() == ".ftv") files.push_back(entry.path().string());
    }
    return files;
  }

  void DamageFileOf(uint32_t version) const {
    for (const std::string& file : Files()) {
      if (!fs::path(file).filename().string().starts_with(std::to_string(version) + "-")) continue;
      std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
      stream.seekp(40);
      stream.put('\x55');
    }
  }

  TempFolder folder_;
  FakePublisher publisher_{4};
  AdapterShelf shelf_{folder_.path()};
};

TEST_F(AdapterShelfTest, AnEmptyOneServesNothing) {
  EXPECT_THAT(shelf_.Serving(), IsEmpty());
  EXPECT_THAT(shelf_.Serving("t"), HasStatus(absl::StatusCode::kNotFound, "no adapter of task t"));
  EXPECT_THAT(shelf_.Load(publisher_.version(1)), HasStatus(absl::StatusCode::kNotFound, ""));
}

TEST_F(AdapterShelfTest, ServesWhatItWasTold) {
  KeepAndServe(1);
  KeepAndServe(2);
  ASSERT_THAT(shelf_.Serving(), SizeIs(1));
  EXPECT_EQ(shelf_.Serving("t")->version, publisher_.version(2));
}

TEST_F(AdapterShelfTest, KeepsTheOneBeforeAndDeletesOlderOnes) {
  for (uint32_t version = 1; version <= 3; ++version) KeepAndServe(version);
  EXPECT_THAT(Files(), SizeIs(2));
  EXPECT_THAT(shelf_.Load(publisher_.version(2)), IsOk());
  EXPECT_THAT(shelf_.Load(publisher_.version(1)), HasStatus(absl::StatusCode::kNotFound, ""));
}

TEST_F(AdapterShelfTest, KeepsWhatARoundTrainsAgainst) {
  KeepAndServe(1);
  ASSERT_THAT(shelf_.Keep(Version(4)), IsOk());
  ASSERT_THAT(shelf_.Keep(Version(2)), IsOk());
  ASSERT_THAT(shelf_.Serve(publisher_.version(2), publisher_.version(4)), IsOk());
  EXPECT_THAT(shelf_.Load(publisher_.version(4)), IsOk());
}

TEST_F(AdapterShelfTest, FallsBackToTheOneBeforeADamagedOne) {
  KeepAndServe(1);
  KeepAndServe(2);
  DamageFileOf(2);
  EXPECT_EQ(shelf_.Serving("t")->version, publisher_.version(1));
  DamageFileOf(1);
  EXPECT_THAT(shelf_.Serving("t"), HasStatus(absl::StatusCode::kDataLoss, "no adapter of task t can be read"));
}

TEST_F(AdapterShelfTest, DoesNotServeWhatItCannotRead) {
  KeepAndServe(1);
  EXPECT_THAT(shelf_.Serve(publisher_.version(2)), HasStatus(absl::StatusCode::kNotFound, ""));
  ASSERT_THAT(shelf_.Keep(Version(2)), IsOk());
  DamageFileOf(2);
  EXPECT_THAT(shelf_.Serve(publisher_.version(2)), HasStatus(absl::StatusCode::kDataLoss, ""));
  EXPECT_EQ(shelf_.Serving("t")->version, publisher_.version(1));
}

// Killed after the version's file, before the pointer: the old one answers.
TEST_F(AdapterShelfTest, KilledBeforeThePointerItServesTheOldOne) {
  KeepAndServe(1);
  ASSERT_THAT(shelf_.Keep(Version(2)), IsOk());
  EXPECT_EQ(AdapterShelf(folder_.path()).Serving("t")->version, publisher_.version(1));
}

// Killed while a file is written: what lies beside it under another name is never read.
TEST_F(AdapterShelfTest, HalfWrittenFilesAreNotRead) {
  KeepAndServe(1);
  std::ofstream(folder_.path() + "/t/serving.tmp") << "2-half.ftv\n";
  std::ofstream(folder_.path() + "/t/2-half.ftv.tmp") << "FTVE";
  EXPECT_EQ(shelf_.Serving("t")->version, publisher_.version(1));
}

TEST_F(AdapterShelfTest, PointerNeverLeavesItsFolder) {
  KeepAndServe(1);
  ASSERT_THAT(WriteFileAtomic(folder_.path() + "/t/serving", AsBytes("../t/" + fs::path(Files()[0]).filename().string() + "\n")),
              IsOk());
  EXPECT_FALSE(shelf_.Serving("t").ok());
}

}  // namespace
}  // namespace fleetune
