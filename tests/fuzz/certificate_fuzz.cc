// What a device sends to be enrolled and what a peer shows: certificate requests and certificates
// in PEM. Whatever comes, a status comes back.

#include <cstdint>
#include <string>

#include "base/check.h"
#include "base/crypto/certificate.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* bytes, size_t size) {
  using namespace fleetune;
  static const CertificateAuthority ca = *CertificateAuthority::Create("fuzz", FromMillis(1'800'000'000'000));
  const std::string pem(reinterpret_cast<const char*>(bytes), size);
  const auto certificate = ca.IssueDevice(pem, "device", FromMillis(1'800'000'000'000), std::chrono::hours(1));
  if (certificate.ok()) CHECK(ReadIdentity(*certificate)->name == "device");
  (void)ReadIdentity(pem);
  (void)CertificateFingerprint(pem);
  (void)VerifyCertificate(pem, ca.pem().certificate_pem, "host", FromMillis(1'800'000'000'000));
  const auto parts = SplitPemCertificates(pem);
  if (parts.ok()) CHECK(!parts->empty());
  return 0;
}
