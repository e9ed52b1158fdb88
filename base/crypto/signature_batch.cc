#include "base/crypto/signature_batch.h"

#include "base/crypto/ed25519_batch.h"
#include "base/crypto/signature_label.h"

namespace fleetune {

std::vector<absl::Status> VerifyEach(std::span<const SignatureClaim> claims, CurveKernel kernel) {
  std::vector<Bytes> labelled;
  std::vector<ed25519::Claim> bare;
  labelled.reserve(claims.size());  // `bare` points into it
  bare.reserve(claims.size());
  for (const SignatureClaim& claim : claims) {
    labelled.push_back(Labelled(claim.purpose, claim.message));
    bare.push_back({.public_key = claim.key.raw(), .message = labelled.back(), .signature = claim.signature});
  }
  const std::vector<bool> verified = ed25519::VerifyEach(bare, kernel);
  std::vector<absl::Status> statuses;
  statuses.reserve(claims.size());
  for (const bool good : verified) statuses.push_back(good ? absl::OkStatus() : SignatureRefused());
  return statuses;
}

}  // namespace fleetune
