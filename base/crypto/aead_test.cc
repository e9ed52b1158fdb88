#include "base/crypto/aead.h"

#include <algorithm>
#include <string_view>

#include "base/crypto/random.h"
#include "base/hex.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

// Gives the same bytes whenever it is asked.
class FixedNonce final : public RandomSource {
 public:
  explicit FixedNonce(std::string_view hex) : nonce_(*FromHex(hex)) {}
  void Fill(std::span<uint8_t> bytes) override {
    ASSERT_EQ(bytes.size(), nonce_.size());
    std::copy(nonce_.begin(), nonce_.end(), bytes.begin());
  }

 private:
  Bytes nonce_;
};

Secret32 KeyOf(std::string_view hex) {
  const Bytes bytes = *FromHex(hex);
  return Secret32(std::span<const uint8_t, 32>(bytes.data(), 32));
}

struct GcmVector {
  std::string key, nonce, plain, associated, cipher, tag;
};

// AES-256 test cases 13 to 16 of the GCM specification (McGrew, Viega), which SP 800-38D refers to.
const GcmVector kVectors[] = {
    {std::string(64, '0'), std::string(24, '0'), "", "", "", "530f8afbc74536b9a963b4f1c4cb738b"},
    {std::string(64, '0'), std::string(24, '0'), std::string(32, '0'), "", "cea7403d4d606b6e074ec5d3baf39d18",
     "d0d1c8a799996bf0265b98b5d48ab919"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
     "",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662898015ad",
     "b094dac5d93471bdec1a502270e3cc6c"},
    {"feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308", "cafebabefacedbaddecaf888",
     "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
     "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
     "feedfacedeadbeeffeedfacedeadbeefabaddad2",
     "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
     "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
     "76fc6ece0f4e1768cddf8853bb2d551b"},
};

TEST(SealTest, GivesThePublishedVectors) {
  for (const GcmVector& vector : kVectors) {
    const Secret32 key = KeyOf(vector.key);
    FixedNonce nonce(vector.nonce);
    const Bytes sealed = Seal(key, *FromHex(vector.plain), *FromHex(vector.associated), nonce);
    EXPECT_EQ(ToHex(sealed), vector.nonce + vector.cipher + vector.tag);
    const auto opened = Open(key, sealed, *FromHex(vector.associated));
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(ToHex(*opened), vector.plain);
  }
}

TEST(OpenTest, RefusesEveryFlippedBit) {
  SecureRandom random;
  const Secret32 key = KeyOf(std::string(64, '1'));
  Bytes associated = {1, 2, 3};
  Bytes sealed = Seal(key, AsBytes("a secret"), associated, random);
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    sealed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_THAT(Open(key, sealed, associated), HasStatus(StatusCode::kDataLoss, "do not open")) << bit;
    sealed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  for (size_t bit = 0; bit < associated.size() * 8; ++bit) {
    associated[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_THAT(Open(key, sealed, associated), HasStatus(StatusCode::kDataLoss, "do not open")) << bit;
    associated[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  EXPECT_THAT(Open(key, sealed, associated), IsOk());
}

TEST(OpenTest, RefusesEveryTruncationAndAnotherKey) {
  SecureRandom random;
  const Secret32 key = KeyOf(std::string(64, '1'));
  const Bytes sealed = Seal(key, AsBytes("a secret"), {}, random);
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(Open(key, std::span(sealed).first(size), {}), HasStatus(StatusCode::kDataLoss, "do not open"));
  }
  EXPECT_THAT(Open(KeyOf(std::string(64, '2')), sealed, {}), HasStatus(StatusCode::kDataLoss, "do not open"));
  EXPECT_THAT(Open(key, sealed, AsBytes("x")), HasStatus(StatusCode::kDataLoss, "do not open"));
}

TEST(SealTest, NeverUsesANonceTwice) {
  SecureRandom random;
  const Secret32 key = KeyOf(std::string(64, '1'));
  EXPECT_NE(Seal(key, AsBytes("x"), {}, random), Seal(key, AsBytes("x"), {}, random));
  EXPECT_EQ(Seal(key, AsBytes("x"), {}, random).size(), 1 + kSealOverheadBytes);
}

// RFC 5869, appendix A.1 and A.3; the first 32 bytes of 42.
TEST(DeriveKeyTest, GivesThePublishedVectors) {
  EXPECT_EQ(ToHex(DeriveKey(Bytes(22, 0x0b), *FromHex("000102030405060708090a0b0c"),
                            *FromHex("f0f1f2f3f4f5f6f7f8f9"))
                      .bytes()),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf");
  EXPECT_EQ(ToHex(DeriveKey(Bytes(22, 0x0b), {}, {}).bytes()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d");
}

TEST(DeriveKeyTest, PurposesGiveDifferentKeys) {
  const Bytes key(32, 1);
  EXPECT_FALSE(ConstantTimeEqual(DeriveKey(key, {}, AsBytes("a")).bytes(), DeriveKey(key, {}, AsBytes("b")).bytes()));
  EXPECT_FALSE(ConstantTimeEqual(DeriveKey(key, {}, AsBytes("a")).bytes(),
                                 DeriveKey(key, AsBytes("salt"), AsBytes("a")).bytes()));
  EXPECT_TRUE(ConstantTimeEqual(DeriveKey(key, {}, Bytes(1024, 1)).bytes(),
                                DeriveKey(key, {}, Bytes(1024, 1)).bytes()));
}

}  // namespace
}  // namespace fleetune
