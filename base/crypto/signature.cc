#include "base/crypto/signature.h"

#include <algorithm>
#include <string_view>

#include "base/bytes.h"
#include "base/check.h"
#include "base/crypto/ed25519.h"
#include "base/crypto/random.h"

namespace fleetune {
namespace {

// Each label ends with a zero byte, so none is the beginning of another.
std::string_view LabelOf(SignPurpose purpose) {
  using namespace std::string_view_literals;
  switch (purpose) {
    case SignPurpose::kAdapterUpdate:
      return "fleetune v1 adapter update\0"sv;
    case SignPurpose::kTrainingPlan:
      return "fleetune v1 training plan\0"sv;
    case SignPurpose::kSecAggConfig:
      return "fleetune-secagg/1/config\0"sv;
    case SignPurpose::kSecAggAdvertise:
      return "fleetune-secagg/1/advertise\0"sv;
    case SignPurpose::kSecAggShareKeys:
      return "fleetune-secagg/1/share-keys\0"sv;
    case SignPurpose::kSecAggIncluded:
      return "fleetune-secagg/1/included\0"sv;
    case SignPurpose::kSecAggView:
      return "fleetune-secagg/1/view\0"sv;
    case SignPurpose::kSecAggUnmask:
      return "fleetune-secagg/1/unmask\0"sv;
  }
  CHECK(false);
}

Bytes Labelled(SignPurpose purpose, std::span<const uint8_t> message) {
  ByteWriter writer;
  writer.WriteBytes(AsBytes(LabelOf(purpose)));
  writer.WriteBytes(message);
  return writer.Take();
}

}  // namespace

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
    return absl::UnauthenticatedError("the signature does not verify");
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
