#include "base/crypto/verified_certificates.h"

#include "base/bytes.h"
#include "base/crypto/signature.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using std::chrono::hours;

const TimePoint kNow = FromMillis(1'800'000'000'000);

class VerifiedCertificatesTest : public testing::Test {
 protected:
  VerifiedCertificatesTest()
      : ca_(CertificateAuthority::Create("test-fleet", kNow).value()),
        certificates_(VerifiedCertificates::Create(ca_.pem().certificate_pem, 2).value()) {}

  static Bytes DeviceOf(const CertificateAuthority& ca, const std::string& id) {
    const KeyAndRequest request = MakeCertificateRequest(SigningKey::Generate().verify_key()).value();
    return CertificateDer(ca.IssueDevice(request.request_pem, id, kNow, hours(24)).value()).value();
  }

  CertificateAuthority ca_;
  VerifiedCertificates certificates_;
};

// Whether it was asked before or not, the answer is that of the plain verifier.
TEST_F(VerifiedCertificatesTest, SaysWhatTheVerifierSays) {
  const DeviceCertificateVerifier plain = DeviceCertificateVerifier::Create(ca_.pem().certificate_pem).value();
  const CertificateAuthority other = CertificateAuthority::Create("test-fleet", kNow).value();
  Bytes flipped = DeviceOf(ca_, "flipped");
  flipped.back() ^= 1;
  // More certificates than there is room for, so that all are forgotten on the way.
  for (const Bytes& der : {DeviceOf(ca_, "one"), DeviceOf(other, "one"), flipped, DeviceOf(ca_, "two"),
                           DeviceOf(ca_, "three"), Bytes{}, Bytes{1, 2, 3}, Bytes(kMaxDeviceCertificateBytes + 1)}) {
    // Within its time, before it, at and after its end, and again.
    for (const hours since :
         {hours(0), hours(1), hours(0), hours(-2), hours(0), hours(23), hours(24), hours(25), hours(1)}) {
      const absl::StatusOr<PeerIdentity> expected = plain.Verify(der, kNow + since);
      const absl::StatusOr<PeerIdentity> got = certificates_.Verify(der, kNow + since);
      ASSERT_EQ(got.status(), expected.status()) << since.count();
      if (expected.ok()) {
        EXPECT_EQ(*got, *expected);
      }
    }
  }
}

TEST_F(VerifiedCertificatesTest, NeedsACa) {
  EXPECT_THAT(VerifiedCertificates::Create("nonsense"), HasStatus(StatusCode::kInvalidArgument, ""));
}

}  // namespace
}  // namespace fleetune
