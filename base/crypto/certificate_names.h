#pragma once

// Internal to base/crypto: the names in certificates and requests that certificate.h defines, written by
// certificate_authority.cc and read by certificate.cc and certificate_verifier.cc.

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "base/crypto/certificate.h"
#include "base/crypto/openssl_handles.h"
#include "base/crypto/signature.h"

namespace fleetune::openssl {

// 1 to 64 of the characters A-Z a-z 0-9 . _ - @, so that a URI, a file name and a log line hold it as it is.
bool IsIdentityName(std::string_view name);

// The URIs. Each requires IsIdentityName(name).
std::string RequestUri(const VerifyKey& identity);
std::string DeviceUri(const std::string& id, const VerifyKey& identity);
std::string AdminUri(const std::string& name, AdminRole role);

// Appends a name of `type`, one of those that are text: GEN_URI, GEN_DNS.
void AppendName(GENERAL_NAMES* names, int type, std::string_view text);

// Who the certificate speaks for. Unauthenticated if it names nobody of a fleet.
absl::StatusOr<PeerIdentity> IdentityOf(X509* certificate);

// The identity key that a request names; its other names do not matter. InvalidArgument unless it names exactly
// one, and that is usable. Does not check the request's signature.
absl::StatusOr<VerifyKey> IdentityKeyOf(X509_REQ* request);

}  // namespace fleetune::openssl
