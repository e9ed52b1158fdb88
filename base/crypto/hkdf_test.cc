#include "base/crypto/hkdf.h"

#include <numeric>
#include <span>
#include <string_view>

#include "base/bytes.h"
#include "base/hex.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

// size bytes: first, first + 1, ...
Bytes Counting(uint8_t first, size_t size) {
  Bytes bytes(size);
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

struct HkdfVector {
  Bytes key, salt, info;
  std::string_view derived;
};

// RFC 5869, appendix A.1 to A.3.
const HkdfVector kVectors[] = {
    {Bytes(22, 0x0b), Counting(0, 13), Counting(0xf0, 10),
     "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865"},
    {Counting(0, 80), Counting(0x60, 80), Counting(0xb0, 80),
     "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09"
     "da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"},
    {Bytes(22, 0x0b), {}, {}, "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"},
};

TEST(DeriveBytesTest, GivesThePublishedVectors) {
  for (const HkdfVector& vector : kVectors) {
    Bytes derived(vector.derived.size() / 2);
    DeriveBytes(vector.key, vector.salt, vector.info, derived);
    EXPECT_EQ(ToHex(derived), vector.derived);
  }
}

TEST(DeriveKeyTest, GivesTheFirst32BytesOfThePublishedVectors) {
  for (const HkdfVector& vector : kVectors) {
    EXPECT_EQ(ToHex(DeriveKey(vector.key, vector.salt, vector.info).bytes()), vector.derived.substr(0, 64));
  }
}

TEST(DeriveBytesTest, GivesAsManyAsTheStandardAllows) {
  Bytes most(kMaxDerivedBytes);
  DeriveBytes(Bytes(32, 1), {}, {}, most);
  Bytes one(1);
  DeriveBytes(Bytes(32, 1), {}, {}, one);
  EXPECT_EQ(one[0], most[0]);
  // The last block is not left out.
  EXPECT_NE(Bytes(most.end() - 32, most.end()), Bytes(32));
  Bytes too_many(kMaxDerivedBytes + 1);
  EXPECT_DEATH(DeriveBytes(Bytes(32, 1), {}, {}, too_many), "kMaxDerivedBytes");
  EXPECT_DEATH(DeriveBytes(Bytes(32, 1), {}, {}, {}), "derived");
  EXPECT_DEATH(DeriveBytes({}, {}, {}, one), "key");
  EXPECT_DEATH(DeriveBytes(Bytes(32, 1), {}, Bytes(kMaxPurposeBytes + 1), one), "kMaxPurposeBytes");
}

TEST(DeriveKeyTest, PurposesGiveDifferentKeys) {
  const Bytes key(32, 1);
  EXPECT_FALSE(ConstantTimeEqual(DeriveKey(key, {}, AsBytes("a")).bytes(), DeriveKey(key, {}, AsBytes("b")).bytes()));
  EXPECT_FALSE(ConstantTimeEqual(DeriveKey(key, {}, AsBytes("a")).bytes(),
                                 DeriveKey(key, AsBytes("salt"), AsBytes("a")).bytes()));
  EXPECT_TRUE(
      ConstantTimeEqual(DeriveKey(key, {}, Bytes(1024, 1)).bytes(), DeriveKey(key, {}, Bytes(1024, 1)).bytes()));
}

}  // namespace
}  // namespace fleetune
