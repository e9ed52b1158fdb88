#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/statusor.h"
#include "base/crypto/secret.h"
#include "base/random.h"

namespace fleetune {

// The public key of an X25519 secret (RFC 7748, section 6.1): who rebuilds a secret from its shares
// finds out with it whether that is the right one.
std::array<uint8_t, 32> X25519PublicKey(const Secret32& secret);

// Whether `point` is of small order: everybody agrees on zero under it. Compares with all ways to write such a point,
// which costs nothing beside an agreement; for public keys, so the time it takes may tell.
bool IsSmallOrder(std::span<const uint8_t, 32> point);

// A key pair for agreeing on secrets (RFC 7748). Move-only, wiped when destroyed or moved from, never
// printed. Immutable, so thread-safe. A key that was moved from may only be destroyed or assigned to.
class X25519Key {
 public:
  // 32 bytes of `random`, which must be one that nobody can guess.
  static X25519Key Generate(RandomSource& random);
  // Any 32 bytes, as `secret()` gives them: bits are set and cleared as the curve wants (section 5)
  // when the secret is used, not in the secret itself.
  static X25519Key FromSecret(Secret32 secret);

  X25519Key(X25519Key&&) noexcept;
  X25519Key& operator=(X25519Key&&) noexcept;
  ~X25519Key();

  const std::array<uint8_t, 32>& public_key() const { return public_key_; }

  // For keeping it where only its owner can read, and for splitting it into shares.
  const Secret32& secret() const { return secret_; }

  // What this key and the one behind `peer` both compute. It is no key yet: pass it to DeriveKey,
  // with both public keys in the salt or the purpose. The topmost bit of `peer` does not count (section 5).
  // InvalidArgument if `peer` is a point of small order, under which everybody computes zero.
  absl::StatusOr<Secret32> Agree(std::span<const uint8_t, 32> peer) const;

 private:
  struct State;
  X25519Key(Secret32 secret, std::unique_ptr<State> state);

  Secret32 secret_;
  std::unique_ptr<State> state_;  // OpenSSL's form of the same key, so that agreeing need not derive the public key
  std::array<uint8_t, 32> public_key_;
};

}  // namespace fleetune
