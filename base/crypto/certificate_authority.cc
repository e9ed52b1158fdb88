#include <openssl/core_names.h>

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/check.h"
#include "base/crypto/certificate.h"
#include "base/crypto/certificate_names.h"
#include "base/crypto/random.h"
#include "base/crypto/x509_pem.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

constexpr std::chrono::hours kCaLifetime{20 * 365 * 24 + 5 * 24};
// Clocks of devices differ: a certificate counts from this long before it is made.
constexpr std::chrono::hours kClockTolerance{1};
constexpr char kCurve[] = "P-256";
constexpr char kCurveInCertificates[] = "prime256v1";

// The list alone: what is in it belongs to others.
void FreeList(STACK_OF(X509_EXTENSION) * extensions) { sk_X509_EXTENSION_free(extensions); }
using ExtensionList = openssl::Handle<STACK_OF(X509_EXTENSION), FreeList>;

openssl::Key NewKey() {
  openssl::Key key(EVP_EC_gen(kCurve));
  CHECK(key != nullptr);
  return key;
}

// A named P-256 key; a curve that is described by its parameters is another type.
bool IsP256(EVP_PKEY* key) {
  char group[32] = {};
  char encoding[32] = {};
  const bool known =
      EVP_PKEY_is_a(key, "EC") == 1 &&
      EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), nullptr) == 1 &&
      EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_EC_ENCODING, encoding, sizeof(encoding), nullptr) == 1;
  ERR_clear_error();
  return known && std::string_view(group) == kCurveInCertificates &&
         std::string_view(encoding) == OSSL_PKEY_EC_ENCODING_GROUP;
}

void SetSerial(X509* certificate) {
  uint8_t raw[16];
  SecureRandom().Fill(raw);
  raw[15] |= 1;  // never zero
  const openssl::BigNumber number(BN_bin2bn(raw, sizeof(raw), nullptr));
  CHECK(number != nullptr);
  CHECK(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) != nullptr);
}

void SetTime(ASN1_TIME* field, TimePoint time) {
  CHECK(ASN1_TIME_set(field, std::chrono::system_clock::to_time_t(time)) != nullptr);
}

void SetCommonName(X509* certificate, const std::string& name) {
  CHECK(X509_NAME_add_entry_by_NID(X509_get_subject_name(certificate), NID_commonName, MBSTRING_UTF8,
                                   reinterpret_cast<const unsigned char*>(name.data()), static_cast<int>(name.size()),
                                   -1, 0) == 1);
}

// `text` as in openssl's x509v3_config; only constants come here, never a name from outside.
void AddExtension(X509* certificate, X509* issuer, int nid, const char* text) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  const openssl::Extension extension(X509V3_EXT_conf_nid(nullptr, &context, nid, text));
  CHECK(extension != nullptr && X509_add_ext(certificate, extension.get(), -1) == 1);
}

void AppendAddress(GENERAL_NAMES* names, const std::string& address) {
  openssl::GeneralName name(GENERAL_NAME_new());
  ASN1_OCTET_STRING* value = a2i_IPADDRESS(address.c_str());
  CHECK(name != nullptr && value != nullptr);
  GENERAL_NAME_set0_value(name.get(), GEN_IPADD, value);
  CHECK(sk_GENERAL_NAME_push(names, name.release()) > 0);
}

// The subject alternative name.
openssl::GeneralNames NoNames() {
  openssl::GeneralNames names(GENERAL_NAMES_new());
  CHECK(names != nullptr);
  return names;
}
openssl::GeneralNames OneUri(std::string_view uri) {
  openssl::GeneralNames names = NoNames();
  openssl::AppendName(names.get(), GEN_URI, uri);
  return names;
}

bool IsDnsName(std::string_view host) {
  if (host.empty() || host.size() > 253) return false;
  size_t label = 0;
  for (size_t i = 0; i < host.size(); ++i) {
    const char c = host[i];
    if (c == '.') {
      if (label == 0 || host[i - 1] == '-') return false;
      label = 0;
      continue;
    }
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '_' && (c != '-' || label == 0)) return false;
    if (++label > 63) return false;
  }
  return label > 0 && host.back() != '-';
}

absl::Status CheckName(const char* what, const std::string& name) {
  if (openssl::IsIdentityName(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(std::string(what) + " must be 1 to 64 letters, digits or . _ - @");
}

openssl::Certificate NewCertificate(EVP_PKEY* subject_key, TimePoint now, TimePoint not_after) {
  openssl::Certificate certificate(X509_new());
  CHECK(certificate != nullptr);
  CHECK(X509_set_version(certificate.get(), X509_VERSION_3) == 1);
  SetSerial(certificate.get());
  SetTime(X509_getm_notBefore(certificate.get()), now - kClockTolerance);
  SetTime(X509_getm_notAfter(certificate.get()), not_after);
  CHECK(X509_set_pubkey(certificate.get(), subject_key) == 1);
  return certificate;
}

}  // namespace

absl::StatusOr<KeyAndRequest> MakeCertificateRequest(const VerifyKey& identity) {
  const openssl::Key key = NewKey();
  const openssl::Request request(X509_REQ_new());
  CHECK(request != nullptr);
  CHECK(X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1);
  CHECK(X509_REQ_set_pubkey(request.get(), key.get()) == 1);
  const openssl::GeneralNames names = OneUri(openssl::RequestUri(identity));
  const openssl::Extension extension(X509V3_EXT_i2d(NID_subject_alt_name, 0, names.get()));
  const ExtensionList extensions(sk_X509_EXTENSION_new_null());
  CHECK(extension != nullptr && extensions != nullptr);
  CHECK(sk_X509_EXTENSION_push(extensions.get(), extension.get()) > 0);
  CHECK(X509_REQ_add_extensions(request.get(), extensions.get()) == 1);
  CHECK(X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0);
  return KeyAndRequest{.key_pem = openssl::ToPem(key.get()), .request_pem = openssl::ToPem(request.get())};
}

struct CertificateAuthority::State {
  KeyAndCertificate pem;
  openssl::Key key;
  openssl::Certificate certificate;

  struct Subject {
    std::string common_name;
    const char* usage = "";  // extendedKeyUsage
    openssl::GeneralNames names;
  };
  absl::StatusOr<std::string> Issue(const Subject& subject, EVP_PKEY* subject_key, TimePoint now,
                                    std::chrono::hours lifetime) const;
};

absl::StatusOr<std::string> CertificateAuthority::State::Issue(const Subject& subject, EVP_PKEY* subject_key,
                                                               TimePoint now, std::chrono::hours lifetime) const {
  if (lifetime <= std::chrono::hours(0) || lifetime > kCaLifetime) {
    return absl::InvalidArgumentError("a certificate's lifetime must be 1 to " + std::to_string(kCaLifetime.count()) +
                                      " hours, got " + std::to_string(lifetime.count()));
  }
  const TimePoint ca_end = openssl::NotAfter(certificate.get());
  if (now >= ca_end) {
    return absl::FailedPreconditionError("the fleet's CA certificate has expired");
  }
  const openssl::Certificate issued = NewCertificate(subject_key, now, std::min<TimePoint>(now + lifetime, ca_end));
  X509* const x509 = issued.get();
  X509* const issuer = certificate.get();
  SetCommonName(x509, subject.common_name);
  CHECK(X509_set_issuer_name(x509, X509_get_subject_name(issuer)) == 1);
  AddExtension(x509, issuer, NID_basic_constraints, "critical,CA:FALSE");
  AddExtension(x509, issuer, NID_key_usage, "critical,digitalSignature");
  AddExtension(x509, issuer, NID_ext_key_usage, subject.usage);
  AddExtension(x509, issuer, NID_subject_key_identifier, "hash");
  AddExtension(x509, issuer, NID_authority_key_identifier, "keyid");
  CHECK(X509_add1_ext_i2d(x509, NID_subject_alt_name, subject.names.get(), 0, 0) == 1);
  if (X509_sign(x509, key.get(), EVP_sha256()) <= 0) {  // an outside CA's key, too short
    return absl::FailedPreconditionError("the fleet's CA cannot sign: " + openssl::TakeError());
  }
  return openssl::ToPem(x509);
}

CertificateAuthority::CertificateAuthority(std::unique_ptr<State> state) : state_(std::move(state)) {}
CertificateAuthority::CertificateAuthority(CertificateAuthority&&) noexcept = default;
CertificateAuthority& CertificateAuthority::operator=(CertificateAuthority&&) noexcept = default;
CertificateAuthority::~CertificateAuthority() = default;

absl::StatusOr<CertificateAuthority> CertificateAuthority::Create(const std::string& fleet_name, TimePoint now) {
  RETURN_IF_ERROR(CheckName("a fleet's name", fleet_name));
  auto state = std::make_unique<State>();
  state->key = NewKey();
  state->certificate = NewCertificate(state->key.get(), now, now + kCaLifetime);
  X509* const x509 = state->certificate.get();
  SetCommonName(x509, fleet_name);
  CHECK(X509_set_issuer_name(x509, X509_get_subject_name(x509)) == 1);
  AddExtension(x509, x509, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
  AddExtension(x509, x509, NID_key_usage, "critical,keyCertSign,cRLSign");
  AddExtension(x509, x509, NID_subject_key_identifier, "hash");
  CHECK(X509_sign(x509, state->key.get(), EVP_sha256()) > 0);
  state->pem = {.key_pem = openssl::ToPem(state->key.get()), .certificate_pem = openssl::ToPem(x509)};
  return CertificateAuthority(std::move(state));
}

absl::StatusOr<CertificateAuthority> CertificateAuthority::Load(const KeyAndCertificate& pem) {
  auto state = std::make_unique<State>();
  state->pem = pem;
  ASSIGN_OR_RETURN(state->key, openssl::ReadPrivateKey(pem.key_pem));
  ASSIGN_OR_RETURN(state->certificate, openssl::ReadCertificate(pem.certificate_pem));
  if (EVP_PKEY_is_a(state->key.get(), "EC") != 1 && EVP_PKEY_is_a(state->key.get(), "RSA") != 1) {
    return absl::InvalidArgumentError("a CA's key must be EC or RSA");
  }
  if (X509_check_private_key(state->certificate.get(), state->key.get()) != 1) {
    return absl::InvalidArgumentError("the CA's key and certificate do not belong together: " + openssl::TakeError());
  }
  if (X509_check_ca(state->certificate.get()) != 1) {
    return absl::InvalidArgumentError("the certificate is none of a CA");
  }
  return CertificateAuthority(std::move(state));
}

const KeyAndCertificate& CertificateAuthority::pem() const { return state_->pem; }

absl::StatusOr<KeyAndCertificate> CertificateAuthority::IssueServer(const std::vector<std::string>& hosts,
                                                                    TimePoint now, std::chrono::hours lifetime) const {
  if (hosts.empty()) return absl::InvalidArgumentError("a server needs at least one host name");
  State::Subject subject{.common_name = "fleetune server", .usage = "serverAuth", .names = NoNames()};
  for (const std::string& host : hosts) {
    if (openssl::IsIpAddress(host)) {
      AppendAddress(subject.names.get(), host);
    } else if (IsDnsName(host)) {
      openssl::AppendName(subject.names.get(), GEN_DNS, host);
    } else {
      return absl::InvalidArgumentError("'" + host + "' is neither a host name nor an IP address");
    }
  }
  const openssl::Key key = NewKey();
  ASSIGN_OR_RETURN(std::string certificate_pem, state_->Issue(subject, key.get(), now, lifetime));
  return KeyAndCertificate{.key_pem = openssl::ToPem(key.get()), .certificate_pem = std::move(certificate_pem)};
}

absl::StatusOr<KeyAndCertificate> CertificateAuthority::IssueAdmin(const std::string& name, AdminRole role,
                                                                   TimePoint now, std::chrono::hours lifetime) const {
  RETURN_IF_ERROR(CheckName("an admin's name", name));
  State::Subject subject{.common_name = name, .usage = "clientAuth", .names = OneUri(openssl::AdminUri(name, role))};
  const openssl::Key key = NewKey();
  ASSIGN_OR_RETURN(std::string certificate_pem, state_->Issue(subject, key.get(), now, lifetime));
  return KeyAndCertificate{.key_pem = openssl::ToPem(key.get()), .certificate_pem = std::move(certificate_pem)};
}

absl::StatusOr<std::string> CertificateAuthority::IssueDevice(const std::string& request_pem,
                                                              const std::string& device_id, TimePoint now,
                                                              std::chrono::hours lifetime) const {
  RETURN_IF_ERROR(CheckName("a device's id", device_id));
  ASSIGN_OR_RETURN(const openssl::Request request, openssl::ReadRequest(request_pem));
  EVP_PKEY* const key = X509_REQ_get0_pubkey(request.get());
  if (key == nullptr || !IsP256(key)) {
    ERR_clear_error();
    return absl::InvalidArgumentError("a device's key must be ECDSA on the named curve P-256");
  }
  if (X509_REQ_verify(request.get(), key) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the certificate request is not signed with the key that it names");
  }
  // All else in the request is the device's wish.
  ASSIGN_OR_RETURN(const VerifyKey identity, openssl::IdentityKeyOf(request.get()));
  const State::Subject subject{
      .common_name = device_id, .usage = "clientAuth", .names = OneUri(openssl::DeviceUri(device_id, identity))};
  ASSIGN_OR_RETURN(std::string certificate_pem, state_->Issue(subject, key, now, lifetime));
  ASSIGN_OR_RETURN(const Bytes der, CertificateDer(certificate_pem));
  if (der.size() > kMaxDeviceCertificateBytes) {
    return absl::FailedPreconditionError(
        "the fleet's CA has a name or key that is too long: a device's certificate would have " +
        std::to_string(der.size()) + " bytes; at most " + std::to_string(kMaxDeviceCertificateBytes) + " are allowed");
  }
  return certificate_pem;
}

}  // namespace fleetune
