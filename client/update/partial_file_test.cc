#include "client/update/partial_file.h"

#include <filesystem>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "client/update/update_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using update_fixture::ScratchFolder;

TEST(PartialFileTest, GoesOnWhereItStopped) {
  ScratchFolder folder;
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
  ScratchFolder folder;
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
