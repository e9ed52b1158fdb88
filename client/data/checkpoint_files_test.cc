#include "client/data/checkpoint_files.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;

class CheckpointFilesTest : public testing::Test {
 protected:
  // As after a restart of the daemon.
  CheckpointFiles Files() { return CheckpointFiles(dir_, &examples_); }
  std::vector<fs::path> OnDisk() const {
    std::vector<fs::path> paths;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir_ + "/checkpoints", error)) paths.push_back(entry.path());
    return paths;
  }
  static std::string Content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void Keep(const std::string& round, const Bytes& checkpoint) {
    CheckpointFiles files = Files();
    ASSERT_THAT(files.Begin(round), IsOk());
    ASSERT_THAT(files.Put(checkpoint), IsOk());
  }
  Bytes Kept(const std::string& round) {
    CheckpointFiles files = Files();
    const auto checkpoint = files.Begin(round);
    EXPECT_THAT(checkpoint, IsOk());
    return checkpoint.value_or(Bytes());
  }

  const TempFolder folder_;
  const std::string& dir_ = folder_.path();
  const SystemClock clock_;
  ExampleStore examples_ = *ExampleStore::Open(dir_, clock_);
  const Bytes secret_ = Bytes(1000, 0x5a);
};

TEST_F(CheckpointFilesTest, TheNewestComesBackAfterARestart) {
  EXPECT_EQ(Kept("t-1"), Bytes());
  Keep("t-1", {1, 2, 3});
  Keep("t-1", secret_);
  EXPECT_EQ(Kept("t-1"), secret_);
  EXPECT_EQ(Kept("t-2"), Bytes());
}

TEST_F(CheckpointFilesTest, OneFileIsLeftSealedAndItsOwnersAlone) {
  Keep("t-1", {1, 2, 3});
  Keep("t-1", secret_);
  const std::vector<fs::path> paths = OnDisk();
  ASSERT_EQ(paths.size(), 1u);
  EXPECT_EQ(Content(paths[0]).find(std::string(16, 0x5a)), std::string::npos);
  EXPECT_EQ(fs::status(paths[0]).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(CheckpointFilesTest, AnotherRoundsFileDoesNotOpen) {
  Keep("t-1", secret_);
  const fs::path first = OnDisk()[0];
  Keep("t-2", {1});
  for (const fs::path& path : OnDisk()) {
    if (path != first) fs::copy_file(first, path, fs::copy_options::overwrite_existing);
  }
  EXPECT_EQ(Kept("t-2"), Bytes());
  EXPECT_EQ(Kept("t-1"), secret_);
}

TEST_F(CheckpointFilesTest, WhatIsDamagedIsAsIfItWereNotThere) {
  Keep("t-1", secret_);
  std::string bytes = Content(OnDisk()[0]);
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(OnDisk()[0], std::ios::binary) << bytes;
  EXPECT_EQ(Kept("t-1"), Bytes());
  EXPECT_THAT(OnDisk(), testing::IsEmpty());
}

TEST_F(CheckpointFilesTest, OnlyTheRoundAtHandIsKept) {
  Keep("t-1", secret_);
  Keep("t-2", secret_);
  ASSERT_THAT(Files().KeepOnly("t-2"), IsOk());
  EXPECT_EQ(OnDisk().size(), 1u);
  EXPECT_EQ(Kept("t-2"), secret_);
  ASSERT_THAT(Files().KeepOnly(""), IsOk());
  EXPECT_THAT(OnDisk(), testing::IsEmpty());
  ASSERT_THAT(Files().KeepOnly(""), IsOk());  // also where there is no folder
}

// By another process, as `data purge` is: the training goes on for a moment, but leaves nothing behind.
TEST_F(CheckpointFilesTest, AfterAPurgeNothingOpensAndNothingIsKeptOfWhatWasPurged) {
  Keep("t-1", secret_);
  const std::string before = Content(OnDisk()[0]);
  CheckpointFiles training = Files();
  ASSERT_THAT(training.Begin("t-1"), IsOk());
  ExampleStore other = *ExampleStore::Open(dir_, clock_);
  ASSERT_THAT(other.Purge(), IsOk());
  EXPECT_THAT(training.Put(secret_), HasStatus(absl::StatusCode::kFailedPrecondition, "were destroyed"));
  EXPECT_EQ(Content(OnDisk()[0]), before);
  EXPECT_EQ(Kept("t-1"), Bytes());

  Keep("t-1", secret_);
  ASSERT_THAT(CheckpointFiles::DeleteAll(dir_), IsOk());
  EXPECT_THAT(OnDisk(), testing::IsEmpty());
}

}  // namespace
}  // namespace fleetune
