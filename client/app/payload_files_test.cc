#include "client/app/payload_files.h"

#include <filesystem>
#include <span>
#include <string>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "base/files.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

Secret32 KeyOf(uint8_t byte) {
  Secret32 key;
  key.mutable_bytes()[0] = byte;
  return key;
}

std::string FileOf(const std::string& folder, const Digest& sha256) {
  return folder + "/" + sha256.ToHex() + ".sealed";
}

TEST(PayloadFilesTest, GivesBackTheSameBytesAfterARestart) {
  TempFolder device;
  const Digest sha256 = Sha256(AsBytes("update"));
  ASSERT_THAT(PayloadFiles(device.path() + "/uploads", KeyOf(1)).Put(sha256, AsBytes("update")), IsOk());
  const auto bytes = PayloadFiles(device.path() + "/uploads", KeyOf(1)).Get(sha256);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(AsText(*bytes), "update");
}

TEST(PayloadFilesTest, WhoHasTheDiskAloneReadsNothing) {
  TempFolder device;
  const Digest sha256 = Sha256(AsBytes("a secret update"));
  ASSERT_THAT(PayloadFiles(device.path(), KeyOf(1)).Put(sha256, AsBytes("a secret update")), IsOk());
  const Bytes sealed = ReadFile(FileOf(device.path(), sha256), 1000).value();
  EXPECT_EQ(AsText(sealed).find("secret"), std::string::npos);
  EXPECT_EQ(std::filesystem::status(FileOf(device.path(), sha256)).permissions(),
            std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
  EXPECT_THAT(PayloadFiles(device.path(), KeyOf(2)).Get(sha256), HasStatus(absl::StatusCode::kDataLoss, "another key"));
}

TEST(PayloadFilesTest, DamagedBytesAreNeverGiven) {
  TempFolder device;
  PayloadFiles payloads(device.path(), KeyOf(1));
  const Digest sha256 = Sha256(AsBytes("update"));
  ASSERT_THAT(payloads.Put(sha256, AsBytes("update")), IsOk());
  const std::string path = FileOf(device.path(), sha256);
  const Bytes whole = ReadFile(path, 1000).value();
  for (size_t i = 0; i < whole.size(); ++i) {
    Bytes changed = whole;
    changed[i] ^= 1;
    ASSERT_THAT(WriteFileAtomic(path, changed), IsOk());
    EXPECT_THAT(payloads.Get(sha256), HasStatus(absl::StatusCode::kDataLoss, "damaged")) << i;
    ASSERT_THAT(WriteFileAtomic(path, std::span(whole).first(i)), IsOk());
    EXPECT_THAT(payloads.Get(sha256), HasStatus(absl::StatusCode::kDataLoss, "damaged")) << i;
  }
  ASSERT_THAT(WriteFileAtomic(path, whole), IsOk());
  EXPECT_THAT(payloads.Get(sha256), IsOk());
}

// One payload's file under another's name.
TEST(PayloadFilesTest, AFileThatWasSwappedIsNotGiven) {
  TempFolder device;
  PayloadFiles payloads(device.path(), KeyOf(1));
  const Digest one = Sha256(AsBytes("one"));
  const Digest two = Sha256(AsBytes("two"));
  ASSERT_THAT(payloads.Put(one, AsBytes("one")), IsOk());
  ASSERT_THAT(payloads.Put(two, AsBytes("two")), IsOk());
  std::filesystem::rename(FileOf(device.path(), one), FileOf(device.path(), two));
  EXPECT_THAT(payloads.Get(two), HasStatus(absl::StatusCode::kDataLoss, "damaged"));
}

TEST(PayloadFilesTest, TheKeyFollowsFromTheIdentityAndFromItAlone) {
  const SigningKey one = SigningKey::FromSeed(KeyOf(1));
  const SigningKey two = SigningKey::FromSeed(KeyOf(2));
  EXPECT_TRUE(ConstantTimeEqual(PayloadKey(one).bytes(), PayloadKey(one).bytes()));
  EXPECT_FALSE(ConstantTimeEqual(PayloadKey(one).bytes(), PayloadKey(two).bytes()));
  EXPECT_FALSE(ConstantTimeEqual(PayloadKey(one).bytes(), one.seed().bytes()));
}

TEST(PayloadFilesTest, KeepsOnlyWhatIsWanted) {
  TempFolder device;
  PayloadFiles payloads(device.path(), KeyOf(1));
  EXPECT_THAT(PayloadFiles(device.path() + "/none", KeyOf(1)).KeepOnly({}), IsOk());
  const Digest one = Sha256(AsBytes("one"));
  const Digest two = Sha256(AsBytes("two"));
  ASSERT_THAT(payloads.Put(one, AsBytes("one")), IsOk());
  ASSERT_THAT(payloads.Put(two, AsBytes("two")), IsOk());
  ASSERT_THAT(payloads.KeepOnly({two}), IsOk());
  EXPECT_THAT(payloads.Get(one), HasStatus(absl::StatusCode::kNotFound, ""));
  EXPECT_THAT(payloads.Get(two), IsOk());
}

}  // namespace
}  // namespace fleetune
