#include "base/crypto/aead.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <vector>

#include "base/check.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
static_assert(kNonceBytes + kTagBytes == kSealOverheadBytes);

// OpenSSL takes lengths as int.
constexpr size_t kMaxPieceBytes = size_t{1} << 30;

enum class Direction : int { kDecrypt = 0, kEncrypt = 1 };

openssl::Cipher Begin(Direction direction, const Secret32& key, const uint8_t* nonce) {
  openssl::Cipher cipher(EVP_CIPHER_CTX_new());
  CHECK(cipher != nullptr);
  // 12 bytes is the default length of GCM's nonce.
  CHECK(EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, key.bytes().data(), nonce,
                          static_cast<int>(direction)) == 1);
  return cipher;
}

// Passes `in` through; `out` is null for associated bytes. GCM gives as many bytes as it takes.
void Pass(EVP_CIPHER_CTX* cipher, std::span<const uint8_t> in, uint8_t* out) {
  while (!in.empty()) {
    const size_t piece = std::min(in.size(), kMaxPieceBytes);
    int written = 0;
    CHECK(EVP_CipherUpdate(cipher, out, &written, in.data(), static_cast<int>(piece)) == 1);
    CHECK(static_cast<size_t>(written) == piece);
    in = in.subspan(piece);
    if (out != nullptr) out += piece;
  }
}

}  // namespace

Bytes Seal(const Secret32& key, std::span<const uint8_t> plain,
           std::span<const uint8_t> associated, RandomSource& random) {
  Bytes sealed(plain.size() + kSealOverheadBytes);
  uint8_t* const nonce = sealed.data();
  uint8_t* const text = nonce + kNonceBytes;
  uint8_t* const tag = text + plain.size();
  random.Fill({nonce, kNonceBytes});

  const openssl::Cipher cipher = Begin(Direction::kEncrypt, key, nonce);
  Pass(cipher.get(), associated, nullptr);
  Pass(cipher.get(), plain, text);
  int written = 0;
  CHECK(EVP_CipherFinal_ex(cipher.get(), tag, &written) == 1 && written == 0);
  CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1);
  return sealed;
}

absl::StatusOr<Bytes> Open(const Secret32& key, std::span<const uint8_t> sealed,
                           std::span<const uint8_t> associated) {
  constexpr char kRefused[] = "sealed bytes do not open: another key, or changed since";
  if (sealed.size() < kSealOverheadBytes) return absl::DataLossError(kRefused);
  const auto nonce = sealed.first(kNonceBytes);
  const auto text = sealed.subspan(kNonceBytes, sealed.size() - kSealOverheadBytes);
  std::array<uint8_t, kTagBytes> tag;
  std::copy_n(sealed.end() - kTagBytes, kTagBytes, tag.begin());

  // One byte more, so that an empty message has an address too.
  Bytes plain(text.size() + 1);
  const openssl::Cipher cipher = Begin(Direction::kDecrypt, key, nonce.data());
  Pass(cipher.get(), associated, nullptr);
  Pass(cipher.get(), text, plain.data());
  CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1);
  int written = 0;
  if (EVP_CipherFinal_ex(cipher.get(), plain.data() + text.size(), &written) != 1) {
    Wipe(plain);  // not authentic: nobody may see it
    ERR_clear_error();
    return absl::DataLossError(kRefused);
  }
  plain.pop_back();
  return plain;
}

Secret32 DeriveKey(std::span<const uint8_t> key, std::span<const uint8_t> salt,
                   std::span<const uint8_t> purpose) {
  CHECK(!key.empty());
  CHECK(purpose.size() <= 1024);
  const openssl::Kdf hkdf(EVP_KDF_fetch(nullptr, "HKDF", nullptr));
  CHECK(hkdf != nullptr);
  const openssl::KdfContext context(EVP_KDF_CTX_new(hkdf.get()));
  CHECK(context != nullptr);
  // The parameters are read only, but their type does not say so.
  const auto octets = [](const char* name, std::span<const uint8_t> bytes) {
    return OSSL_PARAM_construct_octet_string(name, const_cast<uint8_t*>(bytes.data()),
                                             bytes.size());
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
  Secret32 derived;
  CHECK(EVP_KDF_derive(context.get(), derived.mutable_bytes().data(), 32,
                       parameters.data()) == 1);
  return derived;
}

}  // namespace fleetune
