#pragma once

// Internal to base/crypto: PEM in and out of OpenSSL's objects, and what certificate.cc (reading)
// and certificate_authority.cc (writing) must agree on.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/clock.h"
#include "base/crypto/openssl_handles.h"
#include "base/digest.h"

namespace fleetune::openssl {

inline constexpr size_t kMaxPemBytes = 1 << 20;
inline constexpr std::string_view kDeviceUri = "fleetune://device/";
inline constexpr std::string_view kAdminUri = "fleetune://admin/";

// 1 to 64 of the characters A-Z a-z 0-9 . _ - @, so that a URI, a file name and a log
// line hold it as it is.
bool IsIdentityName(std::string_view name);

// True for "192.0.2.1" and "2001:db8::1".
bool IsIpAddress(const std::string& host);

// Each InvalidArgument if the text does not begin with such an object; an encrypted key is refused
// without asking for a password.
absl::StatusOr<Certificate> ReadCertificate(const std::string& pem);
absl::StatusOr<Key> ReadPrivateKey(const std::string& pem);
absl::StatusOr<Request> ReadRequest(const std::string& pem);

std::string ToPem(X509* certificate);
std::string ToPem(EVP_PKEY* key);  // PKCS #8, not encrypted
std::string ToPem(X509_REQ* request);

TimePoint NotAfter(const X509* certificate);

// OK if `leaf` leads to `ca`, perhaps through `others` (may be null), is valid at `now` and
// (unless `host` is empty) is a server's for `host`. Otherwise Unauthenticated.
absl::Status VerifyChain(X509* leaf, STACK_OF(X509) * others, X509* ca, const std::string& host,
                         TimePoint now);

// SHA-256 of the DER.
Digest FingerprintOf(const X509* certificate);

}  // namespace fleetune::openssl
