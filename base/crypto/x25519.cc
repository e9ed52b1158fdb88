#include "base/crypto/x25519.h"

#include <algorithm>
#include <utility>

#include "base/check.h"
#include "base/crypto/openssl_handles.h"

namespace fleetune {
namespace {

openssl::Key KeyOf(const Secret32& secret) {
  openssl::Key key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_X25519, nullptr, secret.bytes().data(), secret.bytes().size()));
  CHECK(key != nullptr);
  return key;
}

std::array<uint8_t, 32> PublicKeyOf(const EVP_PKEY* key) {
  std::array<uint8_t, 32> raw;
  size_t size = raw.size();
  CHECK(EVP_PKEY_get_raw_public_key(key, raw.data(), &size) == 1);
  CHECK(size == raw.size());
  return raw;
}

}  // namespace

std::array<uint8_t, 32> X25519PublicKey(const Secret32& secret) { return PublicKeyOf(KeyOf(secret).get()); }

struct X25519Key::State {
  openssl::Key key;  // OpenSSL wipes the secret when the key is freed
};

X25519Key::X25519Key(Secret32 secret, std::unique_ptr<State> state)
    : secret_(std::move(secret)), state_(std::move(state)), public_key_(PublicKeyOf(state_->key.get())) {}

X25519Key::X25519Key(X25519Key&&) noexcept = default;
X25519Key& X25519Key::operator=(X25519Key&&) noexcept = default;
X25519Key::~X25519Key() = default;

X25519Key X25519Key::Generate(RandomSource& random) {
  Secret32 secret;
  random.Fill(secret.mutable_bytes());
  return FromSecret(std::move(secret));
}

X25519Key X25519Key::FromSecret(Secret32 secret) {
  auto state = std::make_unique<State>(State{KeyOf(secret)});
  return X25519Key(std::move(secret), std::move(state));
}

absl::StatusOr<Secret32> X25519Key::Agree(std::span<const uint8_t, 32> peer) const {
  CHECK(state_ != nullptr);
  const openssl::Key peer_key(EVP_PKEY_new_raw_public_key(EVP_PKEY_X25519, nullptr, peer.data(), peer.size()));
  CHECK(peer_key != nullptr);
  const openssl::KeyContext context(EVP_PKEY_CTX_new(state_->key.get(), nullptr));
  CHECK(context != nullptr && EVP_PKEY_derive_init(context.get()) == 1);
  CHECK(EVP_PKEY_derive_set_peer(context.get(), peer_key.get()) == 1);
  Secret32 shared;
  size_t size = shared.bytes().size();
  // OpenSSL refuses a result of zeros (section 6.1), and nothing else can fail here. Looking again
  // costs nothing and keeps the promise without it.
  const bool derived = EVP_PKEY_derive(context.get(), shared.mutable_bytes().data(), &size) == 1;
  if (!derived || ConstantTimeEqual(shared.bytes(), Secret32().bytes())) {
    ERR_clear_error();
    return absl::InvalidArgumentError("not an X25519 public key: a point of small order");
  }
  CHECK(size == shared.bytes().size());
  return shared;
}

}  // namespace fleetune
