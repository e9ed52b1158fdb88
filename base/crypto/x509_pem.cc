#include "base/crypto/x509_pem.h"

#include <openssl/pem.h>

#include <ctime>

#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune::openssl {
namespace {

// Without one of its own OpenSSL asks the terminal.
int NoPassword(char*, int, int, void*) { return -1; }

template <typename T, typename Read>
absl::StatusOr<T> ReadPem(const std::string& pem, const char* what, Read read) {
  if (pem.size() > kMaxPemBytes) {
    return absl::InvalidArgumentError(std::string(what) + " in PEM has " + std::to_string(pem.size()) +
                                      " bytes; at most " + std::to_string(kMaxPemBytes) + " are allowed");
  }
  const Bio bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  CHECK(bio != nullptr);
  T object(read(bio.get(), nullptr, NoPassword, nullptr));
  if (object == nullptr) {
    return absl::InvalidArgumentError("expected " + std::string(what) + " in PEM: " + TakeError());
  }
  return object;
}

template <typename Write>
std::string WritePem(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()));
  CHECK(bio != nullptr && write(bio.get()) == 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return std::string(text, static_cast<size_t>(size));
}

}  // namespace

bool IsIpAddress(const std::string& host) {
  const Handle<ASN1_OCTET_STRING, ASN1_OCTET_STRING_free> address(a2i_IPADDRESS(host.c_str()));
  ERR_clear_error();
  return address != nullptr && host.find('\0') == std::string::npos;
}

absl::StatusOr<Certificate> ReadCertificate(const std::string& pem) {
  return ReadPem<Certificate>(pem, "a certificate", PEM_read_bio_X509);
}
absl::StatusOr<Key> ReadPrivateKey(const std::string& pem) {
  return ReadPem<Key>(pem, "a private key", PEM_read_bio_PrivateKey);
}
absl::StatusOr<Request> ReadRequest(const std::string& pem) {
  return ReadPem<Request>(pem, "a certificate request", PEM_read_bio_X509_REQ);
}

absl::StatusOr<Certificate> ParseCertificate(std::span<const uint8_t> der) {
  const unsigned char* position = der.data();
  Certificate certificate(d2i_X509(nullptr, &position, static_cast<long>(der.size())));
  if (certificate == nullptr) return absl::InvalidArgumentError("expected a certificate in DER: " + TakeError());
  if (position != der.data() + der.size()) {
    return absl::InvalidArgumentError("expected one certificate in DER, and more follows it");
  }
  return certificate;
}

Bytes DerOf(const X509* certificate) {
  const int size = i2d_X509(certificate, nullptr);
  CHECK(size > 0);
  Bytes der(static_cast<size_t>(size));
  unsigned char* position = der.data();
  CHECK(i2d_X509(certificate, &position) == size);
  return der;
}

std::string ToPem(X509* certificate) {
  return WritePem([&](BIO* bio) { return PEM_write_bio_X509(bio, certificate); });
}
std::string ToPem(EVP_PKEY* key) {
  return WritePem(
      [&](BIO* bio) { return PEM_write_bio_PKCS8PrivateKey(bio, key, nullptr, nullptr, 0, nullptr, nullptr); });
}
std::string ToPem(X509_REQ* request) {
  return WritePem([&](BIO* bio) { return PEM_write_bio_X509_REQ(bio, request); });
}

TimePoint NotAfter(const X509* certificate) {
  std::tm parts{};
  if (ASN1_TIME_to_tm(X509_get0_notAfter(certificate), &parts) != 1) {
    ERR_clear_error();
    return TimePoint();  // long over
  }
  return std::chrono::time_point_cast<std::chrono::milliseconds>(
      std::chrono::system_clock::from_time_t(::timegm(&parts)));
}

CertificateStore StoreWith(X509* ca) {
  CertificateStore store(X509_STORE_new());
  CHECK(store != nullptr && X509_STORE_add_cert(store.get(), ca) == 1);
  return store;
}

absl::Status VerifyChain(X509* leaf, STACK_OF(X509) * others, X509_STORE* store, const std::string& host,
                         TimePoint now) {
  const StoreContext context(X509_STORE_CTX_new());
  CHECK(context != nullptr && X509_STORE_CTX_init(context.get(), store, leaf, others) == 1);
  X509_VERIFY_PARAM* const rules = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(rules, std::chrono::system_clock::to_time_t(now));
  // The given CA is the anchor, also where it is an intermediate of somebody else's.
  X509_VERIFY_PARAM_set_flags(rules, X509_V_FLAG_PARTIAL_CHAIN);
  if (!host.empty()) {
    X509_VERIFY_PARAM_set_hostflags(rules, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    const bool taken = IsIpAddress(host) ? X509_VERIFY_PARAM_set1_ip_asc(rules, host.c_str()) == 1
                                         : X509_VERIFY_PARAM_set1_host(rules, host.data(), host.size()) == 1;
    CHECK(X509_STORE_CTX_set_purpose(context.get(), X509_PURPOSE_SSL_SERVER) == 1);
    if (!taken) {
      ERR_clear_error();
      return absl::UnauthenticatedError("'" + host + "' is no host name");
    }
  }
  const bool valid = X509_verify_cert(context.get()) == 1;
  ERR_clear_error();
  if (valid) return absl::OkStatus();
  return absl::UnauthenticatedError("the certificate is refused" +
                                    (host.empty() ? std::string() : " for host '" + host + "'") + ": " +
                                    X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get())));
}

absl::Status VerifyChain(X509* leaf, STACK_OF(X509) * others, X509* ca, const std::string& host, TimePoint now) {
  return VerifyChain(leaf, others, StoreWith(ca).get(), host, now);
}

Digest FingerprintOf(const X509* certificate) {
  Digest digest;
  CHECK(X509_digest(certificate, EVP_sha256(), digest.bytes.data(), nullptr) == 1);
  return digest;
}

}  // namespace fleetune::openssl
