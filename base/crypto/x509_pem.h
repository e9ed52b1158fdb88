#pragma once

// Internal to base/crypto: PEM and DER in and out of OpenSSL's objects, and chains of certificates.

#include <span>
#include <string>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/crypto/openssl_handles.h"
#include "base/digest.h"

namespace fleetune::openssl {

inline constexpr size_t kMaxPemBytes = 1 << 20;

// True for "192.0.2.1" and "2001:db8::1".
bool IsIpAddress(const std::string& host);

// Each InvalidArgument if the text does not begin with such an object; an encrypted key is refused
// without asking for a password.
absl::StatusOr<Certificate> ReadCertificate(const std::string& pem);
absl::StatusOr<Key> ReadPrivateKey(const std::string& pem);
absl::StatusOr<Request> ReadRequest(const std::string& pem);

// InvalidArgument unless all of `der` is one certificate.
absl::StatusOr<Certificate> ParseCertificate(std::span<const uint8_t> der);

Bytes DerOf(const X509* certificate);
std::string ToPem(X509* certificate);
std::string ToPem(EVP_PKEY* key);  // PKCS #8, not encrypted
std::string ToPem(X509_REQ* request);

TimePoint NotAfter(const X509* certificate);

// A store whose one anchor is `ca`. Thread-safe.
CertificateStore StoreWith(X509* ca);

// OK if `leaf` leads to the anchor in `store`, perhaps through `others` (may be null), is valid at `now` and
// (unless `host` is empty) is a server's for `host`. Otherwise Unauthenticated.
absl::Status VerifyChain(X509* leaf, STACK_OF(X509) * others, X509_STORE* store, const std::string& host,
                         TimePoint now);

// The same with a store of `ca` alone.
absl::Status VerifyChain(X509* leaf, STACK_OF(X509) * others, X509* ca, const std::string& host, TimePoint now);

// SHA-256 of the DER.
Digest FingerprintOf(const X509* certificate);

}  // namespace fleetune::openssl
