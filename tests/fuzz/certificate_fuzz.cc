// What a device sends to be enrolled and what a peer shows: certificate requests and certificates
// in PEM, and the DER that devices send to each other. Whatever comes, a status comes back.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/crypto/certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  const TimePoint now = FromMillis(1'800'000'000'000);
  static const CertificateAuthority ca = *CertificateAuthority::Create("fuzz", now);
  static const auto neighbours = *DeviceCertificateVerifier::Create(ca.pem().certificate_pem);
  const std::string pem(reinterpret_cast<const char*>(bytes), size);
  const auto certificate = ca.IssueDevice(pem, "device", now, std::chrono::hours(1));
  if (certificate.ok()) {
    const auto device = neighbours.Verify(*CertificateDer(*certificate), now);
    CHECK(device.ok() && device->name == "device");
    CHECK(device->identity_key->raw() == RequestedIdentityKey(pem)->raw());
  }
  (void)RequestedIdentityKey(pem);
  const auto read = ReadIdentity(pem);
  if (read.ok()) CHECK(read->identity_key.has_value() == (read->kind == PeerKind::kDevice));
  // Nothing from outside is signed with a key that was made just now.
  CHECK(!neighbours.Verify({bytes, size}, now).ok());
  const auto der = CertificateDer(pem);
  if (der.ok()) CHECK(!neighbours.Verify(*der, now).ok());
  (void)CertificateFingerprint(pem);
  (void)VerifyCertificate(pem, ca.pem().certificate_pem, "host", now);
  const auto parts = SplitPemCertificates(pem);
  if (parts.ok()) CHECK(!parts->empty());
  return 0;
}
