#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/crypto/signature.h"
#include "base/crypto/signature_batch.h"
#include "base/digest.h"

namespace fleetune::secagg {

inline constexpr size_t kMaxCertificateBytes = 2048;  // DER; a device's has about 600

using PublicKey = std::array<uint8_t, 32>;  // X25519

// Phase 0: what a device shows to take part. Neighbours receive it whole, all others its hash.
struct Advertisement {
  std::string device;               // as in the certificate
  Bytes certificate;                // DER, of the fleet's CA
  PublicKey channel_key{};          // c: seals shares to neighbours
  PublicKey mask_key{};             // s: agrees on masks
  std::array<uint8_t, 32> nonce{};  // the device's, fresh
  bool aes_instructions = false;    // masks are AES where both ends have them, else ChaCha20
  Signature signature{};            // by the identity in the certificate, over SignedPart

  friend bool operator==(const Advertisement&, const Advertisement&) = default;
};

// What is signed (SignPurpose::kSecAggAdvertise): everything else, and cfg.
Bytes SignedPart(const Advertisement& advertisement, const Digest& config_hash);

Bytes EncodeAdvertisement(const Advertisement& advertisement, const Digest& config_hash);

// Checks the form alone. InvalidArgument (another kind or session, a name or flag out of range), DataLoss (cut short or
// too long), ResourceExhausted (a field over its limit).
absl::StatusOr<Advertisement> ParseAdvertisement(std::span<const uint8_t> message, const Digest& config_hash);

inline constexpr size_t kMaxAdvertisementBytes = kMaxCertificateBytes + 512;

// Who a certificate (DER) speaks for, once it is verified against the fleet's CA. Unauthenticated if it is not.
struct VerifiedPeer {
  std::string device;
  VerifyKey identity;
};
using PeerVerifier = absl::FunctionRef<absl::StatusOr<VerifiedPeer>(std::span<const uint8_t> certificate)>;

// Whose an advertisement is, if the signature is good: verifying many at once costs much less than one by one.
struct ClaimedAdvertisement {
  VerifiedPeer peer;
  SignatureClaim claim;
};
// Unauthenticated unless the certificate is good and names the same device. InvalidArgument if one of its keys is a point
// of small order: nobody could seal shares for it, or mask with it.
absl::StatusOr<ClaimedAdvertisement> ClaimAdvertisement(const Advertisement& advertisement, const Digest& config_hash,
                                                        PeerVerifier verify);

}  // namespace fleetune::secagg
