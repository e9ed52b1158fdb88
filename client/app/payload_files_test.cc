#include "client/app/payload_files.h"

#include <filesystem>
#include <fstream>

#include "base/bytes.h"
#include "base/crypto/sha256.h"
#include "client/app/app_fixture.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

TEST(PayloadFilesTest, GivesBackTheSameBytesAfterARestart) {
  ScratchDevice device;
  const Digest sha256 = Sha256(AsBytes("update"));
  ASSERT_THAT(PayloadFiles(device.path() + "/uploads").Put(sha256, AsBytes("update")), IsOk());
  const auto bytes = PayloadFiles(device.path() + "/uploads").Get(sha256);
  ASSERT_THAT(bytes, IsOk());
  EXPECT_EQ(AsText(*bytes), "update");
}

TEST(PayloadFilesTest, DamagedBytesAreNeverGiven) {
  ScratchDevice device;
  PayloadFiles payloads(device.path());
  const Digest sha256 = Sha256(AsBytes("update"));
  ASSERT_THAT(payloads.Put(sha256, AsBytes("update")), IsOk());
  std::ofstream(device.path() + "/" + sha256.ToHex() + ".ring") << "updaTe";
  EXPECT_THAT(payloads.Get(sha256), HasStatus(absl::StatusCode::kDataLoss, "hash"));
}

TEST(PayloadFilesTest, KeepsOnlyWhatIsWanted) {
  ScratchDevice device;
  PayloadFiles payloads(device.path());
  EXPECT_THAT(PayloadFiles(device.path() + "/none").KeepOnly({}), IsOk());
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
