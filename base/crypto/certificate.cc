#include "base/crypto/certificate.h"

#include <string_view>
#include <tuple>

#include "base/check.h"
#include "base/crypto/certificate_names.h"
#include "base/crypto/x509_pem.h"
#include "base/status_macros.h"

namespace fleetune {

bool operator==(const PeerIdentity& a, const PeerIdentity& b) {
  const auto key = [](const PeerIdentity& peer) {
    return peer.identity_key.has_value() ? std::optional(peer.identity_key->raw()) : std::nullopt;
  };
  return std::tie(a.kind, a.name, a.role, a.serial, a.not_after) ==
             std::tie(b.kind, b.name, b.role, b.serial, b.not_after) &&
         key(a) == key(b);
}

absl::StatusOr<VerifyKey> RequestedIdentityKey(const std::string& request_pem) {
  ASSIGN_OR_RETURN(const openssl::Request request, openssl::ReadRequest(request_pem));
  return openssl::IdentityKeyOf(request.get());
}

absl::StatusOr<PeerIdentity> ReadIdentity(const std::string& certificate_pem) {
  const absl::StatusOr<openssl::Certificate> certificate = openssl::ReadCertificate(certificate_pem);
  if (!certificate.ok()) return absl::UnauthenticatedError(std::string(certificate.status().message()));
  return openssl::IdentityOf(certificate->get());
}

absl::StatusOr<Bytes> CertificateDer(const std::string& certificate_pem) {
  ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ReadCertificate(certificate_pem));
  return openssl::DerOf(certificate.get());
}

absl::StatusOr<Digest> CertificateFingerprint(const std::string& certificate_pem) {
  ASSIGN_OR_RETURN(const openssl::Certificate certificate, openssl::ReadCertificate(certificate_pem));
  return openssl::FingerprintOf(certificate.get());
}

absl::Status VerifyCertificate(const std::string& certificate_pem, const std::string& ca_pem, const std::string& host,
                               TimePoint now) {
  const auto certificate = openssl::ReadCertificate(certificate_pem);
  const auto ca = openssl::ReadCertificate(ca_pem);
  if (!certificate.ok()) {
    return absl::UnauthenticatedError(std::string(certificate.status().message()));
  }
  if (!ca.ok()) {
    return absl::UnauthenticatedError("CA: " + std::string(ca.status().message()));
  }
  return openssl::VerifyChain(certificate->get(), nullptr, ca->get(), host, now);
}

absl::StatusOr<std::vector<std::string>> SplitPemCertificates(const std::string& pem) {
  constexpr std::string_view kBegin = "-----BEGIN CERTIFICATE-----";
  constexpr std::string_view kEnd = "-----END CERTIFICATE-----";
  constexpr std::string_view kSpace = " \t\r\n";
  if (pem.size() > openssl::kMaxPemBytes) {
    return absl::InvalidArgumentError("certificates in PEM have " + std::to_string(pem.size()) + " bytes; at most " +
                                      std::to_string(openssl::kMaxPemBytes) + " are allowed");
  }
  std::vector<std::string> certificates;
  size_t position = pem.find_first_not_of(kSpace);
  while (position != std::string::npos) {
    const size_t end = pem.find(kEnd, position);
    if (pem.compare(position, kBegin.size(), kBegin) != 0 || end == std::string::npos) {
      return absl::InvalidArgumentError("expected a certificate in PEM at byte " + std::to_string(position));
    }
    const size_t past = end + kEnd.size();
    const auto certificate = openssl::ReadCertificate(pem.substr(position, past - position) + "\n");
    if (!certificate.ok()) {
      return absl::InvalidArgumentError("at byte " + std::to_string(position) + ": " +
                                        std::string(certificate.status().message()));
    }
    certificates.push_back(openssl::ToPem(certificate->get()));
    position = pem.find_first_not_of(kSpace, past);
  }
  if (certificates.empty()) return absl::InvalidArgumentError("no certificate in the PEM text");
  return certificates;
}

}  // namespace fleetune
