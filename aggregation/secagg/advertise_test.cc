#include "aggregation/secagg/advertise.h"

#include <string>

#include "aggregation/secagg/parser_checks.h"
#include "aggregation/secagg/session_config.h"
#include "aggregation/secagg/session_fixture.h"
#include "aggregation/secagg/small_order_points.h"
#include "base/crypto/sha256.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {
namespace {

class AdvertiseTest : public testing::Test {
 protected:
  AdvertiseTest() {
    SplitMix64 random(3);
    advertisement_ = {.device = device_.name,
                      .certificate = device_.Certificate(),
                      .channel_key = X25519Key::Generate(random).public_key(),
                      .mask_key = X25519Key::Generate(random).public_key(),
                      .aes_instructions = true};
    random.Fill(advertisement_.nonce);
    Sign();
  }
  void Sign() {
    advertisement_.signature = device_.key.Sign(SignPurpose::kSecAggAdvertise, SignedPart(advertisement_, config_));
  }
  absl::StatusOr<Advertisement> Parse(std::span<const uint8_t> message) const {
    return ParseAdvertisement(message, config_);
  }
  static absl::Status VerifyUnder(const Digest& config, const Advertisement& advertisement) {
    const auto claimed = ClaimAdvertisement(advertisement, config, ReadTestCertificate);
    if (!claimed.ok()) return claimed.status();
    EXPECT_EQ(claimed->peer.device, advertisement.device);
    const SignatureClaim& claim = claimed->claim;
    return claim.key.Verify(claim.purpose, claim.message, claim.signature);
  }
  absl::Status Verify() const { return VerifyUnder(config_, advertisement_); }

  const Digest config_ = Sha256(AsBytes("config"));
  const TestDevice device_{"device"};
  Advertisement advertisement_;
};

TEST_F(AdvertiseTest, RoundTrip) {
  const Bytes message = EncodeAdvertisement(advertisement_, config_);
  EXPECT_LE(message.size(), kMaxAdvertisementBytes);
  const auto again = Parse(message);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(*again, advertisement_);
  EXPECT_THAT(Verify(), IsOk());
}

TEST_F(AdvertiseTest, TheLongestFits) {
  advertisement_.device = std::string(kMaxNameBytes, 'd');
  advertisement_.certificate = Bytes(kMaxCertificateBytes);
  const Bytes message = EncodeAdvertisement(advertisement_, config_);
  EXPECT_LE(message.size(), kMaxAdvertisementBytes);
  EXPECT_THAT(Parse(message), IsOk());
}

TEST_F(AdvertiseTest, ALongerNameOrCertificate) {
  Advertisement longer = advertisement_;
  longer.device = std::string(kMaxNameBytes + 1, 'd');
  EXPECT_THAT(Parse(EncodeAdvertisement(longer, config_)), HasStatus(absl::StatusCode::kResourceExhausted, ""));
  longer = advertisement_;
  longer.certificate = Bytes(kMaxCertificateBytes + 1);
  EXPECT_THAT(Parse(EncodeAdvertisement(longer, config_)), HasStatus(absl::StatusCode::kResourceExhausted, ""));
}

TEST_F(AdvertiseTest, NoName) {
  advertisement_.device.clear();
  EXPECT_THAT(Parse(EncodeAdvertisement(advertisement_, config_)),
              HasStatus(absl::StatusCode::kInvalidArgument, "no device"));
}

TEST_F(AdvertiseTest, NoOtherLengthKindOrSession) {
  const Bytes message = EncodeAdvertisement(advertisement_, config_);
  const auto parse = [this](std::span<const uint8_t> bytes) { return Parse(bytes); };
  ExpectNoOtherLength(message, parse);
  ExpectHeadIsChecked(message, parse);
}

TEST_F(AdvertiseTest, TheFlagIsNoughtOrOne) {
  Bytes message = EncodeAdvertisement(advertisement_, config_);
  message[message.size() - 65] = 2;
  EXPECT_THAT(Parse(message), HasStatus(absl::StatusCode::kInvalidArgument, "AES"));
}

TEST_F(AdvertiseTest, TheSignatureCoversEveryBit) {
  ExpectEveryBitCounts(EncodeAdvertisement(advertisement_, config_), [this](std::span<const uint8_t> bytes) {
    const absl::StatusOr<Advertisement> parsed = Parse(bytes);
    if (!parsed.ok()) return parsed.status();
    return VerifyUnder(config_, *parsed);
  });
}

TEST_F(AdvertiseTest, SignedForAnotherConfig) {
  EXPECT_THAT(VerifyUnder(Sha256(AsBytes("other")), advertisement_), HasStatus(absl::StatusCode::kUnauthenticated, ""));
}

TEST_F(AdvertiseTest, SignedForAnotherPurpose) {
  advertisement_.signature = device_.key.Sign(SignPurpose::kSecAggShareKeys, SignedPart(advertisement_, config_));
  EXPECT_THAT(Verify(), HasStatus(absl::StatusCode::kUnauthenticated, ""));
}

TEST_F(AdvertiseTest, TheCertificateOfAnotherDevice) {
  advertisement_.certificate = TestDevice("other").Certificate();
  Sign();
  EXPECT_THAT(Verify(), HasStatus(absl::StatusCode::kUnauthenticated, "another device"));
}

TEST_F(AdvertiseTest, ACertificateOfNobody) {
  advertisement_.certificate = {1, 2, 3};
  Sign();
  EXPECT_THAT(Verify(), HasStatus(absl::StatusCode::kUnauthenticated, "no certificate"));
}

TEST_F(AdvertiseTest, KeysOfSmallOrderAreRefusedThoughSigned) {
  const Advertisement good = advertisement_;
  for (const PublicKey& point : SmallOrderPoints()) {
    advertisement_ = good;
    advertisement_.channel_key = point;
    Sign();
    EXPECT_THAT(Verify(), HasStatus(absl::StatusCode::kInvalidArgument, "small order"));
    advertisement_ = good;
    advertisement_.mask_key = point;
    Sign();
    EXPECT_THAT(Verify(), HasStatus(absl::StatusCode::kInvalidArgument, "small order"));
  }
}

}  // namespace
}  // namespace fleetune::secagg
