#include "client/data/data_key.h"

#include <sys/stat.h>

#include <filesystem>

#include "base/files.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;

class DataKeyFileTest : public testing::Test {
 protected:
  bool Exists(const char* name) const { return std::filesystem::exists(folder_.File(name)); }
  Bytes KeyBytes() const { return *ReadFile(folder_.File("data.key"), 32); }

  const TempFolder folder_;
  const DataKeyFile file_{folder_.path()};
};

TEST_F(DataKeyFileTest, IsMadeOnFirstUseForItsOwnerOnly) {
  const auto wrapped = file_.WrapNewKey();
  ASSERT_THAT(wrapped, IsOk());
  struct stat info {};
  ASSERT_EQ(::stat(folder_.File("data.key").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, mode_t{0600});
  EXPECT_EQ(info.st_size, 32);
  const Bytes before = KeyBytes();
  EXPECT_THAT(file_.WrapNewKey(), IsOk());
  EXPECT_EQ(KeyBytes(), before);  // kept from then on
}

TEST_F(DataKeyFileTest, UnwrapGivesTheSameKeysForDifferentPurposes) {
  const Bytes wrapped = *file_.WrapNewKey();
  const auto keys = file_.Unwrap(wrapped);
  ASSERT_THAT(keys, IsOk());
  EXPECT_TRUE(ConstantTimeEqual(keys->seal.bytes(), DataKeyFile(folder_.path()).Unwrap(wrapped)->seal.bytes()));
  EXPECT_FALSE(ConstantTimeEqual(keys->seal.bytes(), keys->duplicates.bytes()));
  EXPECT_FALSE(ConstantTimeEqual(keys->held_out.bytes(), keys->duplicates.bytes()));
  EXPECT_FALSE(ConstantTimeEqual(keys->seal.bytes(), file_.Unwrap(*file_.WrapNewKey())->seal.bytes()));
}

TEST_F(DataKeyFileTest, AnotherOrMissingKeyFileIsDataLoss) {
  const Bytes wrapped = *file_.WrapNewKey();
  const Bytes key = KeyBytes();
  ASSERT_THAT(WriteFileAtomic(folder_.File("data.key"), Bytes(32, 1), 0600), IsOk());
  EXPECT_THAT(file_.Unwrap(wrapped), HasStatus(StatusCode::kDataLoss, "does not belong to this database"));
  EXPECT_THAT(file_.Settle(wrapped), HasStatus(StatusCode::kDataLoss, "does not belong to this database"));
  for (const size_t size : {0, 31, 33}) {
    ASSERT_THAT(WriteFileAtomic(folder_.File("data.key"), Bytes(size, 1), 0600), IsOk());
    EXPECT_THAT(file_.Unwrap(wrapped), HasStatus(StatusCode::kDataLoss, "expected 32"));
  }
  std::filesystem::remove(folder_.File("data.key"));
  EXPECT_THAT(file_.Unwrap(wrapped), HasStatus(StatusCode::kDataLoss, "is missing"));
  ASSERT_THAT(WriteFileAtomic(folder_.File("data.key"), key, 0600), IsOk());
  EXPECT_THAT(file_.Unwrap(wrapped), IsOk());
}

TEST_F(DataKeyFileTest, EveryFlippedBitOfTheWrappedKeyIsDataLoss) {
  Bytes wrapped = *file_.WrapNewKey();
  for (size_t bit = 0; bit < wrapped.size() * 8; ++bit) {
    wrapped[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_THAT(file_.Unwrap(wrapped), HasStatus(StatusCode::kDataLoss, "does not belong"));
    wrapped[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  EXPECT_THAT(file_.Unwrap({}), HasStatus(StatusCode::kDataLoss, "does not belong"));
}

TEST_F(DataKeyFileTest, AKeyFileThatOthersMayReadIsRefused) {
  const Bytes wrapped = *file_.WrapNewKey();
  ASSERT_EQ(::chmod(folder_.File("data.key").c_str(), 0640), 0);
  EXPECT_THAT(file_.Unwrap(wrapped), HasStatus(StatusCode::kFailedPrecondition, "chmod 600"));
  EXPECT_THAT(file_.WrapNewKey(), HasStatus(StatusCode::kFailedPrecondition, "chmod 600"));
  ASSERT_EQ(::chmod(folder_.File("data.key").c_str(), 0400), 0);
  EXPECT_THAT(file_.Unwrap(wrapped), IsOk());
}

TEST_F(DataKeyFileTest, SettleTakesTheNextFileWhenTheDatabaseHas) {
  const Bytes old_wrapped = *file_.WrapNewKey();
  const Bytes old_key = KeyBytes();
  const Bytes wrapped = *file_.WrapNewKeyUnderNextFile();
  // Between commit and Settle both open what is theirs.
  EXPECT_THAT(file_.Unwrap(old_wrapped), IsOk());
  EXPECT_THAT(file_.Unwrap(wrapped), IsOk());
  ASSERT_THAT(file_.Settle(wrapped), IsOk());
  EXPECT_THAT(file_.Unwrap(wrapped), IsOk());
  EXPECT_THAT(file_.Unwrap(old_wrapped), HasStatus(StatusCode::kDataLoss, "does not belong"));
  EXPECT_NE(KeyBytes(), old_key);
  EXPECT_FALSE(Exists("data.key.next"));
  EXPECT_THAT(file_.Settle(wrapped), IsOk());  // once more changes nothing
  EXPECT_THAT(file_.Unwrap(wrapped), IsOk());
}

TEST_F(DataKeyFileTest, SettleRemovesTheNextFileOfAPurgeThatDidNotCommit) {
  const Bytes wrapped = *file_.WrapNewKey();
  ASSERT_THAT(file_.WrapNewKeyUnderNextFile(), IsOk());
  ASSERT_THAT(file_.Settle(wrapped), IsOk());
  EXPECT_FALSE(Exists("data.key.next"));
  EXPECT_THAT(file_.Unwrap(wrapped), IsOk());
}

TEST_F(DataKeyFileTest, SettleEndsWhatACrashLeftAfterOverwriting) {
  ASSERT_THAT(file_.WrapNewKey(), IsOk());
  const Bytes wrapped = *file_.WrapNewKeyUnderNextFile();
  ASSERT_THAT(WriteFileAtomic(folder_.File("data.key"), Bytes(32, 0), 0600), IsOk());
  EXPECT_THAT(file_.Settle(wrapped), IsOk());
  EXPECT_THAT(file_.Unwrap(wrapped), IsOk());
}

}  // namespace
}  // namespace fleetune
