#include "base/crypto/aead.h"

#include <algorithm>
#include <string_view>
#include <utility>

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

// The published vectors with a nonce of zeros (cases 13 and 14) stand for all: otherwise it is Seal.
TEST(SealOnceTest, GivesThePublishedVectors) {
  for (const GcmVector& vector : kVectors) {
    if (vector.nonce != std::string(24, '0')) continue;
    const Bytes sealed = SealOnce(KeyOf(vector.key), *FromHex(vector.plain), *FromHex(vector.associated));
    EXPECT_EQ(ToHex(sealed), vector.cipher + vector.tag);
    const auto opened = OpenOnce(KeyOf(vector.key), sealed, *FromHex(vector.associated));
    ASSERT_THAT(opened, IsOk());
    EXPECT_EQ(ToHex(*opened), vector.plain);
  }
}

TEST(SealOnceTest, IsSealWithANonceOfZerosThatIsNotSent) {
  for (const GcmVector& vector : kVectors) {
    FixedNonce zeros(std::string(24, '0'));
    const Bytes sealed = Seal(KeyOf(vector.key), *FromHex(vector.plain), *FromHex(vector.associated), zeros);
    EXPECT_EQ(SealOnce(KeyOf(vector.key), *FromHex(vector.plain), *FromHex(vector.associated)),
              Bytes(sealed.begin() + 12, sealed.end()));
  }
}

TEST(SealOnceTest, TakesTheKeyAway) {
  Secret32 key = KeyOf(std::string(64, '1'));
  EXPECT_EQ(SealOnce(std::move(key), AsBytes("x"), {}).size(), 1 + kSealOnceOverheadBytes);
  EXPECT_TRUE(ConstantTimeEqual(key.bytes(), Secret32().bytes()));
}

TEST(OpenOnceTest, RefusesEveryFlippedBitAndTruncationAndAnotherKey) {
  const Secret32 key = KeyOf(std::string(64, '1'));
  const Bytes associated = {1, 2, 3};
  Bytes sealed = SealOnce(KeyOf(std::string(64, '1')), AsBytes("a secret"), associated);
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    sealed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_THAT(OpenOnce(key, sealed, associated), HasStatus(StatusCode::kDataLoss, "do not open")) << bit;
    sealed[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  for (size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_THAT(OpenOnce(key, std::span(sealed).first(size), associated),
                HasStatus(StatusCode::kDataLoss, "do not open"));
  }
  EXPECT_THAT(OpenOnce(KeyOf(std::string(64, '2')), sealed, associated),
              HasStatus(StatusCode::kDataLoss, "do not open"));
  EXPECT_THAT(OpenOnce(key, sealed, {}), HasStatus(StatusCode::kDataLoss, "do not open"));
  EXPECT_THAT(OpenOnce(key, sealed, associated), IsOk());
}

}  // namespace
}  // namespace fleetune
