#include "base/crypto/secret.h"

#include <openssl/crypto.h>

#include <algorithm>

namespace fleetune {

template <size_t Size>
Secret<Size>::Secret(std::span<const uint8_t, Size> bytes) {
  std::copy(bytes.begin(), bytes.end(), bytes_.begin());
}

template <size_t Size>
Secret<Size>::~Secret() {
  OPENSSL_cleanse(bytes_.data(), Size);
}

template <size_t Size>
Secret<Size>::Secret(Secret&& other) noexcept : bytes_(other.bytes_) {
  OPENSSL_cleanse(other.bytes_.data(), Size);
}

template <size_t Size>
Secret<Size>& Secret<Size>::operator=(Secret&& other) noexcept {
  if (this == &other) return *this;
  bytes_ = other.bytes_;
  OPENSSL_cleanse(other.bytes_.data(), Size);
  return *this;
}

template class Secret<32>;

bool ConstantTimeEqual(std::span<const uint8_t> a, std::span<const uint8_t> b) {
  if (a.size() != b.size()) return false;
  return a.empty() || CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

void Wipe(std::span<uint8_t> bytes) { OPENSSL_cleanse(bytes.data(), bytes.size()); }

}  // namespace fleetune
