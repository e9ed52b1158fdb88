#include "client/personal/personal_shelf.h"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "client/personal/personal_fixture.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

class PersonalShelfTest : public testing::Test {
 protected:
  absl::Status Keep(const PersonalAdapter& personal) {
    PersonalShelf shelf(dir_, &examples_);
    EXPECT_THAT(shelf.Begin(), IsOk());
    return shelf.Keep(personal);
  }
  std::vector<fs::path> OnDisk() const {
    std::vector<fs::path> paths;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(dir_ + "/personal", error)) paths.push_back(entry.path());
    return paths;
  }
  static std::string Content(const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  }

  const TempFolder folder_;
  const std::string& dir_ = folder_.path();
  const SystemClock clock_;
  ExampleStore examples_ = *ExampleStore::Open(dir_, clock_);
  const PersonalAdapter some_ = SomePersonal();
};

TEST_F(PersonalShelfTest, OneATaskComesBack) {
  EXPECT_THAT(PersonalShelf(dir_, &examples_).Load("household", some_.base), HasStatus(absl::StatusCode::kNotFound, ""));
  PersonalAdapter other = some_;
  other.task = "notes";
  ASSERT_THAT(Keep(some_), IsOk());
  ASSERT_THAT(Keep(other), IsOk());
  PersonalAdapter newer = some_;
  newer.over_version = 8;
  ASSERT_THAT(Keep(newer), IsOk());
  EXPECT_EQ(OnDisk().size(), 2u);
  EXPECT_EQ(*PersonalShelf(dir_, &examples_).Load("household", some_.base), newer);
  EXPECT_EQ(**PersonalShelf::Find(dir_, "notes", some_.base), other);
  EXPECT_EQ(*PersonalShelf::Find(dir_, "cooking", some_.base), std::nullopt);
}

// A device that has none is left as it is: no store, no key.
TEST_F(PersonalShelfTest, LookingForOneMakesNothing) {
  const std::string empty = dir_ + "/empty";
  fs::create_directories(empty);
  EXPECT_EQ(*PersonalShelf::Find(empty, "household", some_.base), std::nullopt);
  EXPECT_EQ(*PersonalShelf::DeleteAll(empty), 0u);
  EXPECT_TRUE(fs::is_empty(empty));
}

TEST_F(PersonalShelfTest, ItIsSealedAndItsOwnersAlone) {
  ASSERT_THAT(Keep(some_), IsOk());
  const fs::path path = OnDisk().at(0);
  EXPECT_EQ(Content(path).find("household"), std::string::npos);
  EXPECT_EQ(path.filename().string().find("household"), std::string::npos);
  EXPECT_EQ(Content(path).find("FTPERS01"), std::string::npos);
  EXPECT_EQ(fs::status(path).permissions(), fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(PersonalShelfTest, ItOpensForItsTaskAndItsBaseAlone) {
  constexpr auto kLost = absl::StatusCode::kDataLoss;
  PersonalAdapter other = some_;
  other.task = "notes";
  ASSERT_THAT(Keep(some_), IsOk());
  const fs::path first = OnDisk().at(0);
  ASSERT_THAT(Keep(other), IsOk());
  EXPECT_THAT(PersonalShelf::Find(dir_, "household", Digest{{4}}), HasStatus(kLost, "another base model"));
  for (const fs::path& path : OnDisk()) {
    if (path != first) fs::copy_file(first, path, fs::copy_options::overwrite_existing);
  }
  EXPECT_THAT(PersonalShelf::Find(dir_, "notes", some_.base), HasStatus(kLost, "task notes"));
  std::string bytes = Content(first);
  bytes[bytes.size() / 2] ^= 1;
  std::ofstream(first, std::ios::binary) << bytes;
  EXPECT_THAT(PersonalShelf::Find(dir_, "household", some_.base), HasStatus(kLost, "damaged"));
}

TEST_F(PersonalShelfTest, APurgeEndsItForGood) {
  ASSERT_THAT(Keep(some_), IsOk());
  PersonalShelf training(dir_, &examples_);
  ASSERT_THAT(training.Begin(), IsOk());
  ExampleStore other = *ExampleStore::Open(dir_, clock_);  // as in another process
  ASSERT_THAT(other.Purge(), IsOk());
  EXPECT_THAT(training.Load("household", some_.base), HasStatus(absl::StatusCode::kDataLoss, "older than a purge"));
  EXPECT_THAT(training.Keep(some_), HasStatus(absl::StatusCode::kFailedPrecondition, "were destroyed"));
  EXPECT_EQ(*PersonalShelf::DeleteAll(dir_), 1u);
  EXPECT_THAT(OnDisk(), IsEmpty());
}

}  // namespace
}  // namespace fleetune
