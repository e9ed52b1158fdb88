#include "base/crypto/certificate.h"

#include <array>
#include <optional>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto/x509_pem.h"
#include "base/hex.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

std::string_view TextOf(const ASN1_STRING* text) {
  return AsText({ASN1_STRING_get0_data(text), static_cast<size_t>(ASN1_STRING_length(text))});
}

// At least the 16 bytes that our own CA draws, in hexadecimal.
std::string SerialOf(const X509* certificate) {
  const openssl::BigNumber number(
      ASN1_INTEGER_to_BN(X509_get0_serialNumber(certificate), nullptr));
  CHECK(number != nullptr);
  std::vector<uint8_t> bytes(static_cast<size_t>(std::max(16, BN_num_bytes(number.get()))));
  CHECK(BN_bn2binpad(number.get(), bytes.data(), static_cast<int>(bytes.size())) > 0);
  return ToHex(bytes);
}

std::optional<AdminRole> RoleOf(std::string_view text) {
  if (text == "viewer") return AdminRole::kViewer;
  if (text == "operator") return AdminRole::kOperator;
  if (text == "admin") return AdminRole::kAdmin;
  return std::nullopt;
}

// False if `uri` is none of the two that certificate.h defines.
bool ParseIdentityUri(std::string_view uri, PeerIdentity* identity) {
  if (uri.starts_with(openssl::kDeviceUri)) {
    identity->kind = PeerKind::kDevice;
    identity->name = uri.substr(openssl::kDeviceUri.size());
    return openssl::IsIdentityName(identity->name);
  }
  if (!uri.starts_with(openssl::kAdminUri)) return false;
  uri.remove_prefix(openssl::kAdminUri.size());
  constexpr std::string_view kRole = "?role=";
  const size_t question = uri.find(kRole);
  if (question == std::string_view::npos) return false;
  const std::optional<AdminRole> role = RoleOf(uri.substr(question + kRole.size()));
  if (!role.has_value()) return false;
  identity->kind = PeerKind::kAdmin;
  identity->name = uri.substr(0, question);
  identity->role = *role;
  return openssl::IsIdentityName(identity->name);
}

// The names of the subject alternative name that matter here.
struct Names {
  std::vector<std::string> fleet_uris;
  std::string host;  // the first DNS name or IP address
};

Names NamesOf(const X509* certificate) {
  Names names;
  const openssl::GeneralNames list(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  ERR_clear_error();
  for (int i = 0; i < sk_GENERAL_NAME_num(list.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(list.get(), i);
    if (name->type == GEN_URI) {
      const std::string_view uri = TextOf(name->d.uniformResourceIdentifier);
      if (uri.starts_with("fleetune:")) names.fleet_uris.emplace_back(uri);
    } else if (name->type == GEN_DNS && names.host.empty()) {
      names.host = TextOf(name->d.dNSName);
    } else if (name->type == GEN_IPADD && names.host.empty()) {
      const openssl::Bio bio(BIO_new(BIO_s_mem()));
      CHECK(bio != nullptr);
      const std::string_view raw = TextOf(name->d.iPAddress);
      for (size_t b = 0; b < raw.size(); ++b) {
        const auto byte = static_cast<unsigned>(static_cast<uint8_t>(raw[b]));
        if (raw.size() == 4) {
          BIO_printf(bio.get(), b == 0 ? "%u" : ".%u", byte);
        } else {
          BIO_printf(bio.get(), b == 0 || b % 2 == 1 ? "%02x" : ":%02x", byte);
        }
      }
      char* text = nullptr;
      const long size = BIO_get_mem_data(bio.get(), &text);
      names.host.assign(text, static_cast<size_t>(size));
    }
  }
  return names;
}

}  // namespace

absl::StatusOr<PeerIdentity> ReadIdentity(const std::string& certificate_pem) {
  const absl::StatusOr<openssl::Certificate> certificate =
      openssl::ReadCertificate(certificate_pem);
  if (!certificate.ok()) {
    return absl::UnauthenticatedError(std::string(certificate.status().message()));
  }
  X509* const x509 = certificate->get();
  const Names names = NamesOf(x509);
  const bool has_usage = (X509_get_extension_flags(x509) & EXFLAG_XKUSAGE) != 0;
  const uint32_t usage = has_usage ? X509_get_extended_key_usage(x509) : 0;

  PeerIdentity identity;
  identity.serial = SerialOf(x509);
  identity.not_after = openssl::NotAfter(x509);
  if (names.fleet_uris.empty() && !names.host.empty() && (usage & XKU_SSL_SERVER) != 0) {
    identity.kind = PeerKind::kServer;
    identity.name = names.host;
    return identity;
  }
  if (names.fleet_uris.size() != 1 || (usage & XKU_SSL_CLIENT) == 0 ||
      !ParseIdentityUri(names.fleet_uris.front(), &identity)) {
    return absl::UnauthenticatedError("the certificate names nobody of a fleet");
  }
  return identity;
}

absl::StatusOr<Digest> CertificateFingerprint(const std::string& certificate_pem) {
  ASSIGN_OR_RETURN(const openssl::Certificate certificate,
                   openssl::ReadCertificate(certificate_pem));
  return openssl::FingerprintOf(certificate.get());
}

absl::Status VerifyCertificate(const std::string& certificate_pem, const std::string& ca_pem,
                               const std::string& host, TimePoint now) {
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
    return absl::InvalidArgumentError("certificates in PEM have " + std::to_string(pem.size()) +
                                      " bytes; at most " + std::to_string(openssl::kMaxPemBytes) +
                                      " are allowed");
  }
  std::vector<std::string> certificates;
  size_t position = pem.find_first_not_of(kSpace);
  while (position != std::string::npos) {
    const size_t end = pem.find(kEnd, position);
    if (pem.compare(position, kBegin.size(), kBegin) != 0 || end == std::string::npos) {
      return absl::InvalidArgumentError("expected a certificate in PEM at byte " +
                                        std::to_string(position));
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
