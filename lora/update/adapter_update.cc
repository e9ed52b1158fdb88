#include "lora/update/adapter_update.h"

#include <cmath>
#include <utility>

#include "base/check.h"
#include "base/crypto/sha256.h"
#include "base/status_macros.h"
#include "lora/adapter/refactoring.h"
#include "lora/update/update_body.h"
#include "lora/update/update_bytes.h"

namespace fleetune {
namespace {

// One f32 addition an element, as IEEE 754 rounds it. `step` begins with what is added to `parent`.
std::vector<float> Sum(std::span<const float> parent, std::span<const float> step) {
  std::vector<float> sum(parent.size());
  for (size_t i = 0; i < sum.size(); ++i) sum[i] = parent[i] + step[i];
  return sum;
}

// The parent after a step of some factors.
struct Change {
  Factors factors = Factors::kB;
  bool refactor = false;
  std::span<const float> step;
};
absl::StatusOr<Adapter> Changed(const Adapter& parent, const Change& change) {
  std::vector<float> a(parent.a().begin(), parent.a().end());
  std::vector<float> b(parent.b().begin(), parent.b().end());
  if (HasA(change.factors)) a = Sum(a, change.step);
  if (HasB(change.factors)) b = Sum(b, change.step.last(b.size()));
  ASSIGN_OR_RETURN(Adapter changed, Adapter::Create(parent.spec(), std::move(a), std::move(b)));
  if (!change.refactor) return changed;
  return Refactored(changed);
}

// What a snapshot says: A, unless it is the seed's, and B.
absl::StatusOr<Adapter> FromSnapshot(const AdapterSpec& spec, uint64_t seed, Factors factors,
                                     std::span<const float> values) {
  if (!HasA(factors)) return Adapter::Create(spec, DeriveA(spec, seed), {values.begin(), values.end()});
  const auto b = values.begin() + static_cast<ptrdiff_t>(spec.a_size());
  return Adapter::Create(spec, {values.begin(), b}, {b, values.end()});
}

// Fills in what depends on the body, checks and signs.
absl::StatusOr<SignedUpdate> Sign(UpdateManifest manifest, Bytes body, const SigningKey& key) {
  if (body.size() > kMaxUpdateBytes) {
    return absl::ResourceExhaustedError("an update's body has " + std::to_string(body.size()) +
                                        " bytes; at most " + std::to_string(kMaxUpdateBytes) +
                                        " are allowed");
  }
  manifest.body_bytes = static_cast<uint32_t>(body.size());
  manifest.body = Sha256(body);
  RETURN_IF_ERROR(ValidateManifest(manifest));
  const Signature signature = key.Sign(SignPurpose::kAdapterUpdate, ManifestBytes(manifest));
  return SignedUpdate{.manifest = std::move(manifest), .signature = signature, .body = std::move(body)};
}

absl::Status CheckDigest(const char* what, const Digest& expected, const Digest& got) {
  if (got == expected) return absl::OkStatus();
  return absl::FailedPreconditionError(std::string("the update is for ") + what + " " + got.ToHex() +
                                       ", this device has " + expected.ToHex());
}

// Whether the update, already known to be authentic, is meant for what this device holds.
absl::Status CheckFits(const UpdateManifest& manifest, const Adapter& parent,
                       const ExpectedUpdate& expected) {
  if (manifest.task != expected.task) {
    return absl::FailedPreconditionError("the update is for task " + manifest.task +
                                         ", this device expects " + expected.task);
  }
  RETURN_IF_ERROR(CheckDigest("base model", expected.base, manifest.base));
  if (manifest.encoding == UpdateEncodingKind::kSnapshot) return absl::OkStatus();
  return CheckDigest("parent adapter", AdapterHash(parent, expected.seed), manifest.parent);
}

// What the body gives. Body errors come as they are; what cannot be made of its values is DataLoss, too.
absl::StatusOr<Adapter> ResultOf(const SignedUpdate& update, const Adapter& parent, uint64_t seed) {
  const UpdateManifest& manifest = update.manifest;
  absl::StatusOr<Adapter> result = absl::InternalError("no result");
  if (manifest.encoding == UpdateEncodingKind::kSnapshot) {
    ASSIGN_OR_RETURN(const std::vector<float> values, ReadSnapshot(parent.spec(), manifest.factors, update.body));
    result = FromSnapshot(parent.spec(), seed, manifest.factors, values);
  } else {
    ASSIGN_OR_RETURN(const std::vector<float> step, ReadQuantizedStep(parent.spec(), manifest.factors, update.body));
    result = Changed(parent, {.factors = manifest.factors, .refactor = manifest.refactored, .step = step});
  }
  if (result.ok()) return result;
  return absl::DataLossError("the update gives no adapter: " + std::string(result.status().message()));
}

}  // namespace

absl::StatusOr<MadeUpdate> MakeUpdate(const Adapter& parent, std::span<const float> step,
                                      const NextVersion& next, const SigningKey& key) {
  CHECK(step.size() == FloatsOf(parent.spec(), next.factors));
  for (size_t i = 0; i < step.size(); ++i) {
    if (!std::isfinite(step[i])) {
      return absl::InvalidArgumentError("value " + std::to_string(i) + " of the step is not finite");
    }
  }
  QuantizedStep quantized = QuantizeStep(parent.spec(), next.factors, step);
  ASSIGN_OR_RETURN(Adapter adapter,
                   Changed(parent, {.factors = next.factors, .refactor = next.refactor, .step = quantized.decoded}));
  UpdateManifest manifest{.task = next.task,
                          .parent_version = next.parent_version,
                          .version = next.version,
                          .base = next.base,
                          .parent = AdapterHash(parent, next.seed),
                          .result = AdapterHash(adapter, next.seed),
                          .encoding = UpdateEncodingKind::kInt8Rows,
                          .factors = next.factors,
                          .refactored = next.refactor};
  ASSIGN_OR_RETURN(SignedUpdate update, Sign(std::move(manifest), std::move(quantized.body), key));
  std::vector<float> residual(next.refactor ? 0 : step.size());
  for (size_t i = 0; i < residual.size(); ++i) residual[i] = step[i] - quantized.decoded[i];
  return MadeUpdate{.update = std::move(update),
                    .adapter = std::move(adapter),
                    .residual = std::move(residual)};
}

absl::StatusOr<SignedUpdate> MakeSnapshot(const Adapter& adapter, const NextVersion& next,
                                          const SigningKey& key) {
  if (adapter.spec().dora()) {
    return absl::InvalidArgumentError("an update holds A and B; an adapter with magnitudes (DoRA) has none");
  }
  std::vector<float> values;
  const Factors factors = HasAOfSeed(adapter, next.seed) ? Factors::kB : Factors::kBoth;
  if (HasA(factors)) values.assign(adapter.a().begin(), adapter.a().end());
  values.insert(values.end(), adapter.b().begin(), adapter.b().end());
  UpdateManifest manifest{.task = next.task,
                          .parent_version = 0,
                          .version = next.version,
                          .base = next.base,
                          .parent = {},
                          .result = AdapterHash(adapter, next.seed),
                          .encoding = UpdateEncodingKind::kSnapshot,
                          .factors = factors};
  return Sign(std::move(manifest), PackSnapshot(values), key);
}

absl::StatusOr<Adapter> ApplyUpdate(const SignedUpdate& update, const Adapter& parent,
                                    const ExpectedUpdate& expected, const VerifyKey& key) {
  const UpdateManifest& manifest = update.manifest;
  RETURN_IF_ERROR(ValidateManifest(manifest));
  RETURN_IF_ERROR(
      key.Verify(SignPurpose::kAdapterUpdate, ManifestBytes(manifest), update.signature));
  RETURN_IF_ERROR(CheckFits(manifest, parent, expected));
  if (update.body.size() != manifest.body_bytes || Sha256(update.body) != manifest.body) {
    return absl::DataLossError("the update's body does not have the hash of its manifest");
  }
  ASSIGN_OR_RETURN(Adapter result, ResultOf(update, parent, expected.seed));
  const Digest hash = AdapterHash(result, expected.seed);
  if (hash != manifest.result) {
    return absl::DataLossError("the updated adapter has the hash " + hash.ToHex() + ", expected " +
                               manifest.result.ToHex());
  }
  return result;
}

}  // namespace fleetune
