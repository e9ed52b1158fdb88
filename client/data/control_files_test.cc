#include "client/data/control_files.h"

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
using testing::IsEmpty;
using testing::SizeIs;

const ControlledTask kTask{.task = "t", .base = Digest{}, .a_size = 2, .b_size = 3};

class ControlFilesTest : public testing::Test {
 protected:
  // As after a restart of the daemon.
  ControlFiles Files() { return ControlFiles(dir_, &examples_); }
  std::vector<fs::path> OnDisk() const {
    std::vector<fs::path> paths;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir_ + "/controls", error)) paths.push_back(entry.path());
    return paths;
  }
  static std::string Content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }
  void Propose(const std::string& round, const OwnControl& control, const ControlledTask& task = kTask) {
    ControlFiles files = Files();
    ASSERT_THAT(files.Begin(task), IsOk());
    ASSERT_THAT(files.Propose(round, control), IsOk());
  }
  OwnControl Now(const ControlledTask& task = kTask) {
    ControlFiles files = Files();
    const auto control = files.Begin(task);
    EXPECT_THAT(control, IsOk());
    return control.value_or(OwnControl{});
  }

  const TempFolder folder_;
  const std::string& dir_ = folder_.path();
  const SystemClock clock_;
  ExampleStore examples_ = *ExampleStore::Open(dir_, clock_);
  const OwnControl first_{.a = {}, .b = {1, 2, 3}};
  const OwnControl second_{.a = {8, 9}, .b = {1, 2, 4}};
};

TEST_F(ControlFilesTest, AProposalHoldsOnceItIsAcceptedAndNotBefore) {
  EXPECT_EQ(Now(), OwnControl{});
  Propose("t-1", first_);
  EXPECT_EQ(Now(), OwnControl{});
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());
  EXPECT_EQ(Now(), first_);
  Propose("t-2", second_);
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());  // again: the coordinator said it twice
  EXPECT_EQ(Now(), first_);
  ASSERT_THAT(Files().Accept("t", "t-2"), IsOk());
  EXPECT_EQ(Now(), second_);
  EXPECT_THAT(OnDisk(), SizeIs(1));
}

TEST_F(ControlFilesTest, ANewAttemptAtARoundReplacesItsProposal) {
  Propose("t-1", second_);
  Propose("t-1", first_);
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());
  EXPECT_EQ(Now(), first_);
}

TEST_F(ControlFilesTest, WhatARoundProposedGoesWithTheRound) {
  Propose("t-1", first_);
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());
  Propose("t-2", second_);
  ASSERT_THAT(Files().KeepProposal("t-2"), IsOk());
  EXPECT_THAT(OnDisk(), SizeIs(2));
  ASSERT_THAT(Files().KeepProposal(""), IsOk());
  EXPECT_THAT(OnDisk(), SizeIs(1));
  ASSERT_THAT(Files().Accept("t", "t-2"), IsOk());  // there is none
  EXPECT_EQ(Now(), first_);
}

TEST_F(ControlFilesTest, FilesAreSealedAndTheirOwnersAlone) {
  const std::vector<float> values(64, 1.0f);
  Propose("t-1", {.a = {}, .b = values}, {.task = "t", .base = Digest{}, .a_size = 2, .b_size = 64});
  ASSERT_THAT(OnDisk(), SizeIs(1));
  const std::string plain(reinterpret_cast<const char*>(values.data()), 16);
  EXPECT_EQ(Content(OnDisk()[0]).find(plain), std::string::npos);
  EXPECT_EQ(fs::status(OnDisk()[0]).permissions(), fs::perms::owner_read | fs::perms::owner_write);
  EXPECT_EQ(fs::status(dir_ + "/controls").permissions(), fs::perms::owner_all);
}

TEST_F(ControlFilesTest, TasksHaveTheirOwnAndAnotherAdapterBeginsAnew) {
  Propose("t-1", first_);
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());
  ControlledTask other = kTask;
  other.task = "u";
  EXPECT_EQ(Now(other), OwnControl{});
  EXPECT_EQ(Now(), first_);
  // A file under another task's name does not open.
  const fs::path file = OnDisk()[0];
  Propose("u-1", second_, other);
  ASSERT_THAT(Files().Accept("u", "u-1"), IsOk());
  for (const fs::path& path : OnDisk()) {
    if (path != file) fs::copy_file(file, path, fs::copy_options::overwrite_existing);
  }
  EXPECT_EQ(Now(other), OwnControl{});
  ControlledTask larger = kTask;
  larger.b_size = 4;
  EXPECT_EQ(Now(larger), OwnControl{});
  EXPECT_THAT(OnDisk(), IsEmpty());
}

TEST_F(ControlFilesTest, WhatIsDamagedIsAsIfItWereNotThere) {
  Propose("t-1", first_);
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());
  std::string bytes = Content(OnDisk()[0]);
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(OnDisk()[0], std::ios::binary) << bytes;
  EXPECT_EQ(Now(), OwnControl{});
  EXPECT_THAT(OnDisk(), IsEmpty());
}

// By another process, as `data purge` is: neither what was learned nor what was about to be comes back.
TEST_F(ControlFilesTest, AfterAPurgeNothingOpensAndNothingIsKeptOfWhatWasPurged) {
  Propose("t-1", first_);
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());
  Propose("t-2", second_);
  ControlFiles training = Files();
  ASSERT_THAT(training.Begin(kTask), IsOk());
  ExampleStore other = *ExampleStore::Open(dir_, clock_);
  ASSERT_THAT(other.Purge(), IsOk());
  EXPECT_THAT(training.Propose("t-3", second_), HasStatus(absl::StatusCode::kFailedPrecondition, "were destroyed"));
  ASSERT_THAT(training.Accept("t", "t-2"), IsOk());  // it was counted all the same
  EXPECT_EQ(Now(), OwnControl{});

  Propose("t-4", first_);
  ASSERT_THAT(ControlFiles::DeleteAll(dir_), IsOk());
  EXPECT_THAT(OnDisk(), IsEmpty());
  ASSERT_THAT(Files().Accept("t", "t-4"), IsOk());
  EXPECT_EQ(Now(), OwnControl{});
}

TEST_F(ControlFilesTest, ATaskThatIsGoneForLongTakesThemAlong) {
  Propose("t-1", first_);
  ASSERT_THAT(Files().Accept("t", "t-1"), IsOk());
  const TimePoint start = clock_.Now();
  ASSERT_THAT(Files().NoteOffered({"t", "u"}, start), IsOk());
  ASSERT_THAT(Files().NoteOffered({"u"}, start + kMostTimeWithoutOffer), IsOk());  // it pauses
  EXPECT_EQ(Now(), first_);
  ASSERT_THAT(Files().NoteOffered({"t"}, start + kMostTimeWithoutOffer), IsOk());
  ASSERT_THAT(Files().NoteOffered({}, start + kMostTimeWithoutOffer * 2), IsOk());
  EXPECT_EQ(Now(), first_);
  ASSERT_THAT(Files().NoteOffered({}, start + kMostTimeWithoutOffer * 2 + std::chrono::hours(1)), IsOk());
  EXPECT_THAT(OnDisk(), IsEmpty());
  ASSERT_THAT(Files().NoteOffered({"t"}, start), IsOk());  // also where there is no file
}

}  // namespace
}  // namespace fleetune
