#include "coordinator/core/device_report.h"
#include "coordinator/core/fleet_limits.h"
#include "gtest/gtest.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

constexpr auto kUnauthenticated = absl::StatusCode::kUnauthenticated;
constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;

class FleetEnrolmentTest : public ::testing::Test {
 protected:
  EnrollmentRequest RequestWith(const NewToken& token) {
    return {.token_secret = token.secret, .certificate_request = SmallFleet::NewRequest(), .device_name = "lamp"};
  }
  NewToken Token(uint32_t uses = 1) { return *small.fleet->CreateToken("ann", {.uses = uses, .tags = {"kitchen"}}); }

  SmallFleet small;
};

TEST_F(FleetEnrolmentTest, ADeviceGetsAnIdAndItsCertificate) {
  const absl::StatusOr<Enrollment> enrollment = small.fleet->Enroll(RequestWith(Token()));
  ASSERT_THAT(enrollment, IsOk());
  EXPECT_EQ(enrollment->device_id.size(), 32u);
  const absl::StatusOr<PeerIdentity> identity = ReadIdentity(enrollment->certificate);
  ASSERT_THAT(identity, IsOk());
  EXPECT_EQ(identity->kind, PeerKind::kDevice);
  EXPECT_EQ(identity->name, enrollment->device_id);
  EXPECT_EQ(identity->identity_key->raw(), SmallFleet::DeviceIdentityKey().raw());
  EXPECT_THAT(small.fleet->CheckDevice(enrollment->device_id), IsOk());
  const auto devices = small.fleet->Devices("lamp");
  ASSERT_THAT(devices, IsOk());
  EXPECT_EQ(devices->front().tags, std::vector<std::string>{"kitchen"});
}

TEST_F(FleetEnrolmentTest, UnknownExpiredAndUsedUpTokensAreToldApart) {
  NewToken token = Token();
  EnrollmentRequest unknown = RequestWith(token);
  unknown.token_secret[0] ^= 1;
  EXPECT_THAT(small.fleet->Enroll(unknown), HasStatus(kUnauthenticated, "not known"));

  EXPECT_THAT(small.fleet->Enroll(RequestWith(token)), IsOk());
  EXPECT_THAT(small.fleet->Enroll(RequestWith(token)), HasStatus(kUnauthenticated, "used up"));

  token = Token();
  small.clock.now = token.expires - std::chrono::milliseconds(1);
  EXPECT_THAT(small.fleet->Enroll(RequestWith(token)), IsOk());
  token = Token();
  small.clock.now = token.expires;
  EXPECT_THAT(small.fleet->Enroll(RequestWith(token)), HasStatus(kUnauthenticated, "expired"));
}

TEST_F(FleetEnrolmentTest, TheSameRequestAgainIsTheSameDevice) {
  const EnrollmentRequest request = RequestWith(Token(2));
  const absl::StatusOr<Enrollment> first = small.fleet->Enroll(request);
  ASSERT_THAT(first, IsOk());
  small.Reopen();
  const absl::StatusOr<Enrollment> again = small.fleet->Enroll(request);
  ASSERT_THAT(again, IsOk());
  EXPECT_EQ(again->device_id, first->device_id);
  EXPECT_EQ(small.fleet->Devices("")->size(), 1u);
  EXPECT_EQ(small.memory.tables().tokens.begin()->second.uses_left, 1u);
}

TEST_F(FleetEnrolmentTest, AnUncertainWriteIsResolvedByTheSecondTry) {
  const EnrollmentRequest request = RequestWith(Token());
  small.faulty.fault = [](uint64_t) { return WriteFault::kUncertain; };
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(absl::StatusCode::kUnavailable, "disk"));
  small.faulty.fault = [](uint64_t) { return WriteFault::kNone; };
  EXPECT_THAT(small.fleet->Enroll(request), IsOk());
  EXPECT_EQ(small.fleet->Devices("")->size(), 1u);
}

TEST_F(FleetEnrolmentTest, ALostWriteLeavesNothing) {
  const EnrollmentRequest request = RequestWith(Token());
  small.faulty.fault = [](uint64_t) { return WriteFault::kLost; };
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(absl::StatusCode::kUnavailable, "disk"));
  EXPECT_TRUE(small.fleet->Devices("")->empty());
  small.faulty.fault = [](uint64_t) { return WriteFault::kNone; };
  EXPECT_THAT(small.fleet->Enroll(request), IsOk());
}

TEST_F(FleetEnrolmentTest, BadRequestsAreRefusedAndUseNothingUp) {
  const NewToken token = Token();
  EnrollmentRequest request = RequestWith(token);
  request.certificate_request = "no request";
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(kInvalid, ""));
  request.certificate_request = "";
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(kInvalid, "certificate request"));
  request.certificate_request = std::string(kMaxCertificateRequestBytes + 1, 'x');
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(kInvalid, "certificate request"));
  request = RequestWith(token);
  request.device_name = std::string(kMaxDeviceNameBytes + 1, 'n');
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(kInvalid, "device name"));
  request.device_name = "a\nb";
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(kInvalid, "device name"));
  request.device_name = std::string(kMaxDeviceNameBytes, 'n');
  EXPECT_THAT(small.fleet->Enroll(request), IsOk());
}

TEST_F(FleetEnrolmentTest, TokensHaveLimits) {
  using std::chrono::seconds;
  const auto create = [&](uint32_t uses, seconds lifetime) {
    return small.fleet->CreateToken("ann", {.uses = uses, .lifetime = lifetime, .tags = {}});
  };
  EXPECT_THAT(create(kMaxTokenUses, kMaxTokenLifetime), IsOk());
  EXPECT_THAT(create(kMaxTokenUses + 1, seconds(1)), HasStatus(kInvalid, "uses"));
  EXPECT_THAT(create(0, seconds(1)), HasStatus(kInvalid, "uses"));
  EXPECT_THAT(create(1, seconds(1)), IsOk());
  EXPECT_THAT(create(1, seconds(0)), HasStatus(kInvalid, "lifetime"));
  EXPECT_THAT(create(1, kMaxTokenLifetime + seconds(1)), HasStatus(kInvalid, "lifetime"));
  EXPECT_THAT(small.fleet->CreateToken("ann", {.tags = {"No"}}), HasStatus(kInvalid, "tag"));
  EXPECT_THAT(small.fleet->CreateToken("ann", {.tags = std::vector<std::string>(kMaxDeviceTags + 1, "a")}),
              HasStatus(kInvalid, "tags"));
}

TEST_F(FleetEnrolmentTest, TheSecretIsNotStored) {
  const NewToken token = Token();
  EXPECT_EQ(token.secret.size(), kTokenSecretBytes);
  EXPECT_EQ(small.memory.tables().tokens.begin()->first, Sha256(token.secret));
}

TEST_F(FleetEnrolmentTest, RevokedDevicesAreRefusedEverywhere) {
  const EnrollmentRequest request = RequestWith(Token(2));
  const std::string device = small.fleet->Enroll(request)->device_id;
  ASSERT_THAT(small.fleet->RevokeDevice("ann", device), IsOk());
  EXPECT_THAT(small.fleet->RevokeDevice("ann", device), IsOk());
  EXPECT_THAT(small.fleet->CheckDevice(device), HasStatus(kUnauthenticated, "revoked"));
  EXPECT_THAT(small.fleet->RenewCertificate(device, SmallFleet::DeviceIdentityKey(), SmallFleet::NewRequest()),
              HasStatus(kUnauthenticated, "revoked"));
  EXPECT_THAT(small.fleet->CheckIn(device, {}), HasStatus(kUnauthenticated, "revoked"));
  EXPECT_THAT(small.fleet->Enroll(request), HasStatus(kUnauthenticated, "revoked"));
  small.Reopen();
  EXPECT_THAT(small.fleet->CheckDevice(device), HasStatus(kUnauthenticated, "revoked"));
  EXPECT_THAT(small.fleet->CheckDevice("nobody"), HasStatus(kUnauthenticated, "not enrolled"));
}

TEST_F(FleetEnrolmentTest, CertificatesAreRenewed) {
  const std::string device = small.AddDevice();
  const absl::StatusOr<std::string> renewed =
      small.fleet->RenewCertificate(device, SmallFleet::DeviceIdentityKey(), SmallFleet::NewRequest());
  ASSERT_THAT(renewed, IsOk());
  EXPECT_EQ(ReadIdentity(*renewed)->name, device);
  EXPECT_EQ(ReadIdentity(*renewed)->identity_key->raw(), SmallFleet::DeviceIdentityKey().raw());
  EXPECT_THAT(small.fleet->RenewCertificate(device, SmallFleet::DeviceIdentityKey(), ""),
              HasStatus(kInvalid, "certificate request"));
}

TEST_F(FleetEnrolmentTest, ARenewalKeepsTheIdentityKey) {
  const std::string device = small.AddDevice();
  const VerifyKey other = SigningKey::Generate().verify_key();
  const uint64_t written = small.fleet->Audit(0, 0)->records.size();
  EXPECT_THAT(small.fleet->RenewCertificate(device, SmallFleet::DeviceIdentityKey(), SmallFleet::NewRequest(other)),
              HasStatus(kInvalid, "keeps the identity key"));
  EXPECT_THAT(small.fleet->RenewCertificate(device, SmallFleet::DeviceIdentityKey(), "no request"),
              HasStatus(kInvalid, "certificate request"));
  EXPECT_EQ(small.fleet->Audit(0, 0)->records.size(), written);
}

}  // namespace
}  // namespace fleetune
