#include "base/crypto/x25519.h"

#include <algorithm>
#include <iterator>
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

// All u below 2^255 of order 1, 2, 4 or 8 on the curve or its twist, p = 2^255 - 19; little-endian. Only numbers below
// 19 can be written a second way, with p added.
constexpr std::array<uint8_t, 32> NearPrime(uint8_t lowest) {
  std::array<uint8_t, 32> u;
  u.fill(0xff);
  u[0] = lowest;
  u[31] = 0x7f;
  return u;
}
constexpr std::array<uint8_t, 32> kSmallOrderPoints[] = {
    {0},
    {1},
    NearPrime(0xec),  // p - 1
    NearPrime(0xed),  // p, which is 0
    NearPrime(0xee),  // p + 1, which is 1
    {0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a,
     0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00},
    {0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b,
     0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57},
};

}  // namespace

bool IsSmallOrder(std::span<const uint8_t, 32> point) {
  std::array<uint8_t, 32> u;
  std::ranges::copy(point, u.begin());
  u[31] &= 0x7f;  // does not count
  return std::ranges::find(kSmallOrderPoints, u) != std::end(kSmallOrderPoints);
}

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
