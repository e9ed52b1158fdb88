#include "base/crypto/aead.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune {
namespace {

constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
static_assert(kNonceBytes + kTagBytes == kSealOverheadBytes);
static_assert(kTagBytes == kSealOnceOverheadBytes);

constexpr std::array<uint8_t, kNonceBytes> kZeroNonce{};

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

// Writes ciphertext and tag to `sealed`, which has room for both.
void SealUnder(const Secret32& key, const uint8_t* nonce, std::span<const uint8_t> plain,
               std::span<const uint8_t> associated, uint8_t* sealed) {
  uint8_t* const tag = sealed + plain.size();
  const openssl::Cipher cipher = Begin(Direction::kEncrypt, key, nonce);
  Pass(cipher.get(), associated, nullptr);
  Pass(cipher.get(), plain, sealed);
  int written = 0;
  CHECK(EVP_CipherFinal_ex(cipher.get(), tag, &written) == 1 && written == 0);
  CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1);
}

absl::Status Refused() { return absl::DataLossError("sealed bytes do not open: another key, or changed since"); }

// Requires sealed.size() >= kTagBytes.
absl::StatusOr<Bytes> OpenUnder(const Secret32& key, const uint8_t* nonce, std::span<const uint8_t> sealed,
                                std::span<const uint8_t> associated) {
  const auto text = sealed.first(sealed.size() - kTagBytes);
  std::array<uint8_t, kTagBytes> tag;
  std::copy_n(sealed.end() - kTagBytes, kTagBytes, tag.begin());

  // One byte more, so that an empty message has an address too.
  Bytes plain(text.size() + 1);
  const openssl::Cipher cipher = Begin(Direction::kDecrypt, key, nonce);
  Pass(cipher.get(), associated, nullptr);
  Pass(cipher.get(), text, plain.data());
  CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag.data()) == 1);
  int written = 0;
  if (EVP_CipherFinal_ex(cipher.get(), plain.data() + text.size(), &written) != 1) {
    Wipe(plain);  // not authentic: nobody may see it
    ERR_clear_error();
    return Refused();
  }
  plain.pop_back();
  return plain;
}

}  // namespace

Bytes Seal(const Secret32& key, std::span<const uint8_t> plain, std::span<const uint8_t> associated,
           RandomSource& random) {
  Bytes sealed(plain.size() + kSealOverheadBytes);
  random.Fill(std::span(sealed).first(kNonceBytes));
  SealUnder(key, sealed.data(), plain, associated, sealed.data() + kNonceBytes);
  return sealed;
}

absl::StatusOr<Bytes> Open(const Secret32& key, std::span<const uint8_t> sealed, std::span<const uint8_t> associated) {
  if (sealed.size() < kSealOverheadBytes) return Refused();
  return OpenUnder(key, sealed.data(), sealed.subspan(kNonceBytes), associated);
}

Bytes SealOnce(Secret32 key, std::span<const uint8_t> plain, std::span<const uint8_t> associated) {
  Bytes sealed(plain.size() + kSealOnceOverheadBytes);
  SealUnder(key, kZeroNonce.data(), plain, associated, sealed.data());
  return sealed;
}

absl::StatusOr<Bytes> OpenOnce(const Secret32& key, std::span<const uint8_t> sealed,
                               std::span<const uint8_t> associated) {
  if (sealed.size() < kSealOnceOverheadBytes) return Refused();
  return OpenUnder(key, kZeroNonce.data(), sealed, associated);
}

}  // namespace fleetune
