#include <openssl/x509.h>

#include <utility>

#include "base/check.h"
#include "base/crypto/certificate.h"
#include "base/crypto/certificate_names.h"
#include "base/crypto/x509_pem.h"
#include "base/status_macros.h"

namespace fleetune {

// OpenSSL's store locks itself, so verifications may share one.
struct DeviceCertificateVerifier::State {
  openssl::CertificateStore store;
};

DeviceCertificateVerifier::DeviceCertificateVerifier(std::unique_ptr<const State> state) : state_(std::move(state)) {}
DeviceCertificateVerifier::DeviceCertificateVerifier(DeviceCertificateVerifier&&) noexcept = default;
DeviceCertificateVerifier& DeviceCertificateVerifier::operator=(DeviceCertificateVerifier&&) noexcept = default;
DeviceCertificateVerifier::~DeviceCertificateVerifier() = default;

absl::StatusOr<DeviceCertificateVerifier> DeviceCertificateVerifier::Create(const std::string& ca_pem) {
  ASSIGN_OR_RETURN(const openssl::Certificate ca, openssl::ReadCertificate(ca_pem));
  if (X509_check_ca(ca.get()) != 1) return absl::InvalidArgumentError("the certificate is none of a CA");
  auto state = std::make_unique<State>();
  state->store = openssl::StoreWith(ca.get());
  return DeviceCertificateVerifier(std::move(state));
}

absl::StatusOr<PeerIdentity> DeviceCertificateVerifier::Verify(std::span<const uint8_t> der, TimePoint now) const {
  if (der.size() > kMaxDeviceCertificateBytes) {
    return absl::UnauthenticatedError("a device's certificate has at most " +
                                      std::to_string(kMaxDeviceCertificateBytes) + " bytes, got " +
                                      std::to_string(der.size()));
  }
  const absl::StatusOr<openssl::Certificate> certificate = openssl::ParseCertificate(der);
  if (!certificate.ok()) return absl::UnauthenticatedError(std::string(certificate.status().message()));
  RETURN_IF_ERROR(openssl::VerifyChain(certificate->get(), nullptr, state_->store.get(), "", now));
  ASSIGN_OR_RETURN(PeerIdentity identity, openssl::IdentityOf(certificate->get()));
  if (identity.kind != PeerKind::kDevice) return absl::UnauthenticatedError("the certificate is none of a device");
  CHECK(identity.identity_key.has_value());
  return identity;
}

absl::StatusOr<PeerIdentity> VerifyDeviceCertificate(std::span<const uint8_t> der, const std::string& ca_pem,
                                                     TimePoint now) {
  const absl::StatusOr<DeviceCertificateVerifier> verifier = DeviceCertificateVerifier::Create(ca_pem);
  if (!verifier.ok()) return absl::UnauthenticatedError("CA: " + std::string(verifier.status().message()));
  return verifier->Verify(der, now);
}

}  // namespace fleetune
