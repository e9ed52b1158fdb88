#include "base/crypto/signature.h"

#include <algorithm>

#include "base/crypto/ed25519.h"
#include "base/crypto/random.h"
#include "base/crypto/signature_label.h"

namespace fleetune {

absl::StatusOr<VerifyKey> VerifyKey::FromRaw(std::span<const uint8_t, 32> raw) {
  if (!ed25519::IsUsablePoint(raw)) {
    return absl::InvalidArgumentError("not an Ed25519 public key");
  }
  std::array<uint8_t, 32> copy;
  std::copy(raw.begin(), raw.end(), copy.begin());
  return VerifyKey(copy);
}

absl::Status VerifyKey::Verify(SignPurpose purpose, std::span<const uint8_t> message,
                               const Signature& signature) const {
  if (!ed25519::Verify(raw_, Labelled(purpose, message), signature)) {
    return SignatureRefused();
  }
  return absl::OkStatus();
}

SigningKey SigningKey::Generate() {
  Secret32 seed;
  SecureRandom().Fill(seed.mutable_bytes());
  return SigningKey(std::move(seed));
}

SigningKey SigningKey::FromSeed(Secret32 seed) { return SigningKey(std::move(seed)); }

Signature SigningKey::Sign(SignPurpose purpose, std::span<const uint8_t> message) const {
  return ed25519::Sign(seed_.bytes(), Labelled(purpose, message));
}

VerifyKey SigningKey::verify_key() const { return VerifyKey(ed25519::PublicKey(seed_.bytes())); }

}  // namespace fleetune
