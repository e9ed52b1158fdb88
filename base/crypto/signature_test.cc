#include "base/crypto/signature.h"

#include <algorithm>
#include <string_view>

#include "base/bytes.h"
#include "base/crypto/ed25519.h"
#include "base/hex.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::array<uint8_t, 32> Raw32(std::string_view hex) {
  const Bytes bytes = *FromHex(hex);
  std::array<uint8_t, 32> raw{};
  std::copy(bytes.begin(), bytes.end(), raw.begin());
  return raw;
}

SigningKey KeyFromSeed(std::string_view hex) { return SigningKey::FromSeed(Secret32(Raw32(hex))); }

constexpr char kSeed[] = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
constexpr char kPublic[] = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";

// RFC 8032, section 7.1, tests 1 to 3: over bare messages, without our purpose.
TEST(Ed25519Test, GivesThePublishedVectors) {
  const struct {
    const char *seed, *public_key, *message, *signature;
  } vectors[] = {
      {kSeed, kPublic, "",
       "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe"
       "24655141438e7a100b"},
      {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
       "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
       "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302a"
       "eeb00d291612bb0c00"},
      {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
       "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
       "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed2"
       "8dc027beceea1ec40a"},
  };
  for (const auto& vector : vectors) {
    const Bytes message = *FromHex(vector.message);
    EXPECT_EQ(ToHex(ed25519::PublicKey(Raw32(vector.seed))), vector.public_key);
    const Signature signature = ed25519::Sign(Raw32(vector.seed), message);
    EXPECT_EQ(ToHex(signature), vector.signature);
    EXPECT_TRUE(ed25519::Verify(Raw32(vector.public_key), message, signature));
    EXPECT_THAT(VerifyKey::FromRaw(Raw32(vector.public_key)), IsOk());
  }
}

TEST(SignatureTest, VerifiesWhatWasSigned) {
  const SigningKey key = SigningKey::Generate();
  const Signature signature = key.Sign(SignPurpose::kAdapterUpdate, AsBytes("update"));
  EXPECT_THAT(key.verify_key().Verify(SignPurpose::kAdapterUpdate, AsBytes("update"), signature), IsOk());
  const auto from_raw = VerifyKey::FromRaw(key.verify_key().raw());
  ASSERT_THAT(from_raw, IsOk());
  EXPECT_THAT(from_raw->Verify(SignPurpose::kAdapterUpdate, AsBytes("update"), signature), IsOk());
}

// What is signed is part of the wire: a change of the label would lock out a fleet.
TEST(SignatureTest, SignsTheLabelAndTheMessage) {
  using namespace std::string_view_literals;
  EXPECT_EQ(KeyFromSeed(kSeed).Sign(SignPurpose::kAdapterUpdate, AsBytes("m")),
            ed25519::Sign(Raw32(kSeed), AsBytes("fleetune v1 adapter update\0m"sv)));
  EXPECT_EQ(KeyFromSeed(kSeed).Sign(SignPurpose::kTrainingPlan, {}),
            ed25519::Sign(Raw32(kSeed), AsBytes("fleetune v1 training plan\0"sv)));
  const struct {
    SignPurpose purpose;
    std::string_view bytes;
  } secure_averaging[] = {{SignPurpose::kSecAggConfig, "fleetune-secagg/1/config\0m"sv},
                          {SignPurpose::kSecAggAdvertise, "fleetune-secagg/1/advertise\0m"sv},
                          {SignPurpose::kSecAggShareKeys, "fleetune-secagg/1/share-keys\0m"sv},
                          {SignPurpose::kSecAggView, "fleetune-secagg/1/view\0m"sv},
                          {SignPurpose::kSecAggUnmask, "fleetune-secagg/1/unmask\0m"sv}};
  for (const auto& [purpose, bytes] : secure_averaging) {
    EXPECT_EQ(KeyFromSeed(kSeed).Sign(purpose, AsBytes("m")), ed25519::Sign(Raw32(kSeed), AsBytes(bytes)));
  }
}

TEST(SignatureTest, AnotherPurposeMessageOrKeyIsUnauthenticated) {
  const SigningKey key = KeyFromSeed(kSeed);
  const Signature signature = key.Sign(SignPurpose::kAdapterUpdate, AsBytes("update"));
  const VerifyKey verify = key.verify_key();
  EXPECT_THAT(verify.Verify(SignPurpose::kTrainingPlan, AsBytes("update"), signature),
              HasStatus(StatusCode::kUnauthenticated, "does not verify"));
  EXPECT_THAT(verify.Verify(SignPurpose::kAdapterUpdate, AsBytes("updatf"), signature),
              HasStatus(StatusCode::kUnauthenticated, "does not verify"));
  EXPECT_THAT(verify.Verify(SignPurpose::kAdapterUpdate, {}, signature),
              HasStatus(StatusCode::kUnauthenticated, "does not verify"));
  EXPECT_THAT(SigningKey::Generate().verify_key().Verify(SignPurpose::kAdapterUpdate, AsBytes("update"), signature),
              HasStatus(StatusCode::kUnauthenticated, "does not verify"));
}

TEST(SignatureTest, EveryFlippedBitIsUnauthenticated) {
  const SigningKey key = KeyFromSeed(kSeed);
  const VerifyKey verify = key.verify_key();
  Bytes message = {1, 2, 3, 4};
  Signature signature = key.Sign(SignPurpose::kTrainingPlan, message);
  for (size_t bit = 0; bit < signature.size() * 8; ++bit) {
    signature[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(verify.Verify(SignPurpose::kTrainingPlan, message, signature).ok()) << bit;
    signature[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  for (size_t bit = 0; bit < message.size() * 8; ++bit) {
    message[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
    EXPECT_FALSE(verify.Verify(SignPurpose::kTrainingPlan, message, signature).ok()) << bit;
    message[bit / 8] ^= static_cast<uint8_t>(1 << (bit % 8));
  }
  EXPECT_THAT(verify.Verify(SignPurpose::kTrainingPlan, message, signature), IsOk());
}

TEST(SigningKeyTest, ComesBackFromItsSeed) {
  const SigningKey key = SigningKey::Generate();
  const SigningKey again = SigningKey::FromSeed(Secret32(key.seed().bytes()));
  EXPECT_EQ(again.verify_key().raw(), key.verify_key().raw());
  EXPECT_EQ(KeyFromSeed(kSeed).verify_key().raw(), Raw32(kPublic));
}

TEST(VerifyKeyTest, EveryKeyThatIsMadeIsTaken) {
  for (int i = 0; i < 50; ++i) {
    EXPECT_THAT(VerifyKey::FromRaw(SigningKey::Generate().verify_key().raw()), IsOk());
  }
}

TEST(VerifyKeyTest, RefusesWhatIsNoPointOfTheCurve) {
  // About half of all y have no x.
  int refused = 0;
  for (uint8_t y = 2; y < 102; ++y) {
    std::array<uint8_t, 32> raw{};
    raw[0] = y;
    const auto key = VerifyKey::FromRaw(raw);
    if (key.ok()) continue;
    ++refused;
    EXPECT_THAT(key, HasStatus(StatusCode::kInvalidArgument, "not an Ed25519 public key"));
  }
  EXPECT_GT(refused, 30);
  EXPECT_LT(refused, 70);
  // y = p + 3, which is not reduced though y = 3 would be a point (RFC 8032, section 5.1.3).
  std::array<uint8_t, 32> three{};
  three[0] = 3;
  EXPECT_THAT(VerifyKey::FromRaw(three), IsOk());
  std::array<uint8_t, 32> unreduced;
  unreduced.fill(0xff);
  unreduced[0] = 0xf0;
  unreduced[31] = 0x7f;
  EXPECT_THAT(VerifyKey::FromRaw(unreduced), HasStatus(StatusCode::kInvalidArgument, "not an Ed25519"));
}

// The eight points of small order, and with the other sign of x where that is the same point.
TEST(VerifyKeyTest, RefusesPointsOfSmallOrder) {
  for (std::string hex : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
                          "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"}) {
    for (const uint8_t sign : {uint8_t{0}, uint8_t{0x80}}) {
      std::array<uint8_t, 32> raw = Raw32(hex);
      raw[31] |= sign;
      EXPECT_THAT(VerifyKey::FromRaw(raw), HasStatus(StatusCode::kInvalidArgument, "not an Ed25519")) << hex;
    }
  }
}

}  // namespace
}  // namespace fleetune
