#include "base/crypto/sha256.h"

#include <fcntl.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/check.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune {

struct Sha256Stream::Context {
  openssl::Hash hash{EVP_MD_CTX_new()};
};

Digest Sha256(std::span<const uint8_t> bytes) {
  Digest digest;
  CHECK(EVP_Digest(bytes.data(), bytes.size(), digest.bytes.data(), nullptr, EVP_sha256(),
                   nullptr) == 1);
  return digest;
}

Digest HmacSha256(std::span<const uint8_t> key, std::span<const uint8_t> bytes) {
  CHECK(key.size() <= 1024);
  // Never null pointers: an empty key is a key too.
  const uint8_t nothing = 0;
  Digest digest;
  CHECK(HMAC(EVP_sha256(), key.empty() ? &nothing : key.data(), static_cast<int>(key.size()),
             bytes.empty() ? &nothing : bytes.data(), bytes.size(), digest.bytes.data(),
             nullptr) != nullptr);
  return digest;
}

Sha256Stream::Sha256Stream() : context_(std::make_unique<Context>()) {
  CHECK(EVP_DigestInit_ex(context_->hash.get(), EVP_sha256(), nullptr) == 1);
}
Sha256Stream::~Sha256Stream() = default;
Sha256Stream::Sha256Stream(Sha256Stream&&) noexcept = default;
Sha256Stream& Sha256Stream::operator=(Sha256Stream&&) noexcept = default;

void Sha256Stream::Add(std::span<const uint8_t> bytes) {
  CHECK(context_ != nullptr);
  CHECK(EVP_DigestUpdate(context_->hash.get(), bytes.data(), bytes.size()) == 1);
}

Digest Sha256Stream::Finish() {
  CHECK(context_ != nullptr);
  Digest digest;
  CHECK(EVP_DigestFinal_ex(context_->hash.get(), digest.bytes.data(), nullptr) == 1);
  context_.reset();
  return digest;
}

absl::StatusOr<Digest> Sha256OfFile(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) {
    const std::string message = "cannot open " + path + ": " + std::strerror(errno);
    return errno == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
  }
  Sha256Stream stream;
  std::vector<uint8_t> piece(1 << 20);
  for (;;) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const std::string message = "cannot read " + path + ": " + std::strerror(errno);
      ::close(fd);
      return absl::UnavailableError(message);
    }
    if (got == 0) break;
    stream.Add({piece.data(), static_cast<size_t>(got)});
  }
  ::close(fd);
  return stream.Finish();
}

}  // namespace fleetune
