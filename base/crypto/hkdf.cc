#include "base/crypto/hkdf.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <vector>

#include "base/check.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune {

Secret32 DeriveKey(std::span<const uint8_t> key, std::span<const uint8_t> salt, std::span<const uint8_t> purpose) {
  Secret32 derived;
  DeriveBytes(key, salt, purpose, derived.mutable_bytes());
  return derived;
}

void DeriveBytes(std::span<const uint8_t> key, std::span<const uint8_t> salt, std::span<const uint8_t> purpose,
                 std::span<uint8_t> derived) {
  CHECK(!key.empty());
  CHECK(purpose.size() <= kMaxPurposeBytes);
  CHECK(!derived.empty() && derived.size() <= kMaxDerivedBytes);
  const openssl::Kdf hkdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  CHECK(hkdf != nullptr);
  const openssl::KdfContext context(EVP_KDF_CTX_new(hkdf.get()));
  CHECK(context != nullptr);
  // The parameters are read only, but their type does not say so.
  const auto octets = [](const char* name, std::span<const uint8_t> bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<uint8_t*>(bytes.data()), bytes.size());
  };
  char digest[] = "SHA256";
  std::vector<OSSL_PARAM> parameters = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      octets(OSSL_KDF_PARAM_KEY, key),
  };
  // OpenSSL refuses empty ones; left out they count as empty.
  if (!salt.empty()) parameters.push_back(octets(OSSL_KDF_PARAM_SALT, salt));
  if (!purpose.empty()) parameters.push_back(octets(OSSL_KDF_PARAM_INFO, purpose));
  parameters.push_back(OSSL_PARAM_construct_end());
  CHECK(EVP_KDF_derive(context.get(), derived.data(), derived.size(), parameters.data()) == 1);
}

}  // namespace fleetune
