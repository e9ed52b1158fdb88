#include "base/crypto/sha256.h"

#include "base/bytes.h"
#include "base/files.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using absl::StatusCode;

constexpr char kOfEmpty[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kOfMillionA[] = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";

// The examples that NIST publishes with FIPS 180-4.
TEST(Sha256Test, GivesThePublishedDigests) {
  EXPECT_EQ(Sha256({}).ToHex(), kOfEmpty);
  EXPECT_EQ(Sha256(AsBytes("abc")).ToHex(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(Sha256(AsBytes("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).ToHex(),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(Sha256(Bytes(1'000'000, 'a')).ToHex(), kOfMillionA);
}

TEST(Sha256StreamTest, PartsGiveTheDigestOfTheWhole) {
  Sha256Stream stream;
  const Bytes part(999, 'a');
  for (int i = 0; i < 1001; ++i) stream.Add(part);
  stream.Add({});
  stream.Add(AsBytes("a"));
  Sha256Stream moved = std::move(stream);
  EXPECT_EQ(moved.Finish().ToHex(), kOfMillionA);
  EXPECT_EQ(Sha256Stream().Finish().ToHex(), kOfEmpty);
}

TEST(Sha256OfFileTest, ReadsPastOnePiece) {
  const TempFolder folder;
  Bytes bytes((1 << 20) + 7);
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<uint8_t>(i * 31);
  ASSERT_THAT(WriteFileAtomic(folder.File("a"), bytes), IsOk());
  EXPECT_EQ(*Sha256OfFile(folder.File("a")), Sha256(bytes));
}

TEST(Sha256OfFileTest, MissingFileIsNotFoundAndFolderCannotBeRead) {
  const TempFolder folder;
  EXPECT_THAT(Sha256OfFile(folder.File("none")), HasStatus(StatusCode::kNotFound, folder.File("none")));
  EXPECT_THAT(Sha256OfFile(folder.path()), HasStatus(StatusCode::kUnavailable, folder.path()));
}

// RFC 4231, test cases 1, 2 and 6.
TEST(HmacSha256Test, GivesThePublishedValues) {
  EXPECT_EQ(HmacSha256(Bytes(20, 0x0b), AsBytes("Hi There")).ToHex(),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(HmacSha256(AsBytes("Jefe"), AsBytes("what do ya want for nothing?")).ToHex(),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(HmacSha256(Bytes(131, 0xaa), AsBytes("Test Using Larger Than Block-Size Key - Hash Key First")).ToHex(),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

TEST(HmacSha256Test, TakesAnEmptyKeyAndAnEmptyMessage) {
  EXPECT_EQ(HmacSha256({}, {}).ToHex(), "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

}  // namespace
}  // namespace fleetune
