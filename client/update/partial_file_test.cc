#include "client/update/partial_file.h"

#include <filesystem>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

TEST(PartialFileTest, GoesOnWhereItStopped) {
  TempFolder folder;
  const std::string path = folder.path() + "/x.part";
  ASSERT_THAT(PartialFile::Open(path)->Append(AsBytes("one ")), IsOk());
  auto again = PartialFile::Open(path);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->size(), 4u);
  ASSERT_THAT(again->Append(AsBytes("two")), IsOk());
  ASSERT_THAT(again->Finish(Sha256(AsBytes("one two")), folder.path() + "/x"), IsOk());
  EXPECT_EQ(AsText(*ReadFile(folder.path() + "/x", 100)), "one two");
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST(PartialFileTest, AnotherHashIsRefusedAndTheNextAttemptBeginsAnew) {
  TempFolder folder;
  const std::string path = folder.path() + "/x.part";
  auto file = PartialFile::Open(path);
  ASSERT_THAT(file->Append(AsBytes("wrong")), IsOk());
  EXPECT_THAT(file->Finish(Sha256(AsBytes("right")), folder.path() + "/x"),
              HasStatus(absl::StatusCode::kDataLoss, "expected"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() + "/x"));
  EXPECT_EQ(PartialFile::Open(path)->size(), 0u);
}

TEST(PartialFileTest, AFolderThatIsNotThereIsUnavailable) {
  EXPECT_THAT(PartialFile::Open("/nowhere/at/all"), HasStatus(absl::StatusCode::kUnavailable, "/nowhere/at/all"));
}

}  // namespace
}  // namespace fleetune
