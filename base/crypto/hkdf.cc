// RFC 5869 over SHA-256's compression alone. OpenSSL 3 looks up KDF, MAC and digest by name for each key, which costs ten
// times what there is to compute, and an unmasking derives thousands of keys. Hence its functions from before.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/crypto/hkdf.h"

#include <openssl/sha.h>

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/digest.h"

namespace fleetune {
namespace {

template <typename T>
void WipeObject(T& object) {
  Wipe({reinterpret_cast<uint8_t*>(&object), sizeof object});
}

// HMAC-SHA256 (RFC 2104). The key is wiped with the object.
class Hmac {
 public:
  explicit Hmac(std::span<const uint8_t> key) {
    std::array<uint8_t, SHA256_CBLOCK> block{};
    if (key.size() <= block.size()) {
      std::ranges::copy(key, block.begin());
    } else {
      SHA256_CTX hash;
      CHECK(SHA256_Init(&hash) == 1 && SHA256_Update(&hash, key.data(), key.size()) == 1);
      CHECK(SHA256_Final(block.data(), &hash) == 1);
      WipeObject(hash);
    }
    for (uint8_t& byte : block) byte ^= 0x36;
    CHECK(SHA256_Init(&inner_) == 1 && SHA256_Update(&inner_, block.data(), block.size()) == 1);
    for (uint8_t& byte : block) byte ^= 0x36 ^ 0x5c;
    CHECK(SHA256_Init(&outer_) == 1 && SHA256_Update(&outer_, block.data(), block.size()) == 1);
    Wipe(block);
  }
  ~Hmac() {
    WipeObject(inner_);
    WipeObject(outer_);
  }
  Hmac(const Hmac&) = default;
  Hmac& operator=(const Hmac&) = delete;

  void Add(std::span<const uint8_t> bytes) { CHECK(SHA256_Update(&inner_, bytes.data(), bytes.size()) == 1); }
  // Once, after all has been added.
  void Finish(Digest& code) {
    CHECK(SHA256_Final(code.bytes.data(), &inner_) == 1);
    CHECK(SHA256_Update(&outer_, code.bytes.data(), code.bytes.size()) == 1);
    CHECK(SHA256_Final(code.bytes.data(), &outer_) == 1);
  }

 private:
  SHA256_CTX inner_;
  SHA256_CTX outer_;
};

}  // namespace

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
  Digest extracted;
  {
    Hmac extract(salt);  // none counts as zeros, which is what an empty key of HMAC is
    extract.Add(key);
    extract.Finish(extracted);
  }
  const Hmac keyed(extracted.bytes);
  Digest block;
  uint8_t number = 0;
  for (std::span<uint8_t> left = derived; !left.empty();) {
    Hmac expand = keyed;
    if (number > 0) expand.Add(block.bytes);
    expand.Add(purpose);
    expand.Add({&++number, 1});
    expand.Finish(block);
    const size_t size = std::min(left.size(), block.bytes.size());
    std::ranges::copy(std::span(block.bytes).first(size), left.begin());
    left = left.subspan(size);
  }
  WipeObject(block);
  WipeObject(extracted);
}

}  // namespace fleetune
