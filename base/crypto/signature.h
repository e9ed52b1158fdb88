#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/crypto/secret.h"

namespace fleetune {

// Ed25519 (RFC 8032) with a purpose: what is signed is the purpose's label and the
// message, so a signature made for one kind of object never verifies as another.
enum class SignPurpose : uint8_t {  // wire values
  kAdapterUpdate = 1,
  kTrainingPlan = 2,
  kSecAggConfig = 3,  // by the coordinator; the other five by a device
  kSecAggAdvertise = 4,
  kSecAggShareKeys = 5,
  kSecAggView = 6,
  kSecAggUnmask = 7,
  kSecAggIncluded = 8,
};

using Signature = std::array<uint8_t, 64>;

// A public key: immutable, so thread-safe; cheap to copy.
class VerifyKey {
 public:
  // InvalidArgument if `raw` is no point of the curve, or one of the few of small order
  // (all zeros among them), under which anybody could sign.
  static absl::StatusOr<VerifyKey> FromRaw(std::span<const uint8_t, 32> raw);

  // OK only if `signature` was made over exactly `purpose` and `message`.
  // Otherwise Unauthenticated; the message tells nothing more.
  absl::Status Verify(SignPurpose purpose, std::span<const uint8_t> message, const Signature& signature) const;

  const std::array<uint8_t, 32>& raw() const { return raw_; }

 private:
  friend class SigningKey;
  explicit VerifyKey(const std::array<uint8_t, 32>& raw) : raw_(raw) {}
  std::array<uint8_t, 32> raw_;
};

// Owns a secret: move-only, wiped when destroyed, never printed. Thread-safe.
class SigningKey {
 public:
  static SigningKey Generate();
  // The 32-byte seed of RFC 8032, as `seed()` gives it.
  static SigningKey FromSeed(Secret32 seed);

  Signature Sign(SignPurpose purpose, std::span<const uint8_t> message) const;
  VerifyKey verify_key() const;

  // For keeping it in a file that only its owner can read.
  const Secret32& seed() const { return seed_; }

 private:
  explicit SigningKey(Secret32 seed) : seed_(std::move(seed)) {}
  Secret32 seed_;
};

}  // namespace fleetune
