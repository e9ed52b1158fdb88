#include "base/crypto/random.h"

#include <openssl/rand.h>

#include <algorithm>

#include "base/check.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune {
namespace {

// OpenSSL takes lengths as int.
constexpr size_t kMaxPieceBytes = size_t{1} << 30;

}  // namespace

void SecureRandom::Fill(std::span<uint8_t> bytes) {
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), kMaxPieceBytes);
    CHECK(RAND_bytes(bytes.data(), static_cast<int>(piece)) == 1);
    bytes = bytes.subspan(piece);
  }
}

struct AesCtrRandom::Context {
  openssl::Cipher cipher{EVP_CIPHER_CTX_new()};  // wipes its key when freed
};

AesCtrRandom::AesCtrRandom(const std::array<uint8_t, 32>& key)
    : context_(std::make_unique<Context>()) {
  constexpr uint8_t kZeroCounter[16] = {};
  CHECK(EVP_EncryptInit_ex(context_->cipher.get(), EVP_aes_256_ctr(), nullptr, key.data(),
                           kZeroCounter) == 1);
}

AesCtrRandom::~AesCtrRandom() = default;

void AesCtrRandom::Fill(std::span<uint8_t> bytes) {
  std::fill(bytes.begin(), bytes.end(), uint8_t{0});
  while (!bytes.empty()) {
    const size_t piece = std::min(bytes.size(), kMaxPieceBytes);
    int written = 0;
    CHECK(EVP_EncryptUpdate(context_->cipher.get(), bytes.data(), &written, bytes.data(),
                            static_cast<int>(piece)) == 1);
    CHECK(static_cast<size_t>(written) == piece);
    bytes = bytes.subspan(piece);
  }
}

}  // namespace fleetune
