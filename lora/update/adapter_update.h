#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/crypto/signature.h"
#include "base/digest.h"
#include "lora/adapter/adapter.h"
#include "lora/adapter/factors.h"

namespace fleetune {

// From version n of a task's adapter to version n + 1, in bytes that every machine decodes to the same bits.
// Format: docs/formats/adapter_update.md.

inline constexpr uint32_t kMaxUpdateBytes = 1u << 30;

// Whether A is what follows from `seed`, bit by bit.
bool HasAOfSeed(const Adapter& adapter, uint64_t seed);

// SHA-256 over task-independent canonical bytes: the spec, then A's seed, then A unless it is the seed's, then B, as
// little-endian f32.
Digest AdapterHash(const Adapter& adapter, uint64_t seed);

enum class UpdateEncodingKind : uint8_t {  // wire values
  kInt8Rows = 1,   // added to the parent: a bf16 scale and int8 values per row, then zstd
  kSnapshot = 2,   // the values themselves in f32 (no parent), then zstd
};

// What is signed (SignPurpose::kAdapterUpdate). Fixed-size fields but for the name.
struct UpdateManifest {
  std::string task;            // [a-z0-9-]{1,64}
  uint32_t parent_version = 0; // of a snapshot: not used, 0
  uint32_t version = 0;        // of the result
  Digest base{};                 // SHA-256 of the base model
  Digest parent{};               // AdapterHash of the parent; zero for a snapshot
  Digest result{};               // AdapterHash of the result
  UpdateEncodingKind encoding = UpdateEncodingKind::kInt8Rows;
  Factors factors = Factors::kB;  // in the body. A snapshot without A has the seed's; none is of A alone
  bool refactored = false;        // after the rows were added: Refactored (lora/adapter/refactoring.h)
  uint32_t body_bytes = 0;     // compressed
  Digest body{};                 // SHA-256 of the compressed body

  friend bool operator==(const UpdateManifest&, const UpdateManifest&) = default;
};

struct SignedUpdate {
  UpdateManifest manifest;
  Signature signature{};
  Bytes body;
};

// manifest, signature, body as one byte string, and back. Parse checks structure, limits and the body's
// hash, not the signature. DataLoss (cut off, body differs), InvalidArgument (unknown encoding, bad name),
// ResourceExhausted (over kMaxUpdateBytes).
Bytes SerializeUpdate(const SignedUpdate& update);
absl::StatusOr<SignedUpdate> ParseUpdate(std::span<const uint8_t> bytes);

// What the next version is made from.
struct NextVersion {
  std::string task;
  uint32_t parent_version = 0;
  uint32_t version = 0;  // > parent_version
  Digest base{};
  uint64_t seed = 0;  // of A
  Factors factors = Factors::kB;  // that the step is of
  bool refactor = false;          // after the step
};

struct MadeUpdate {
  SignedUpdate update;
  Adapter adapter;              // the new version: parent + the decoded update, exactly as devices get it
  std::vector<float> residual;  // what rounding left out: add it to the next step of these factors. Of a refactored
                                // version empty: its factors are others
};

// Encodes parent + step as int8 rows and signs it. Requires step.size() == FloatsOf(parent.spec(), next.factors); checked.
// InvalidArgument if a value of the step or of the result is not finite, the task's name is bad, next.version
// is not above next.parent_version, or an adapter of this spec cannot be refactored.
absl::StatusOr<MadeUpdate> MakeUpdate(const Adapter& parent, std::span<const float> step,
                                      const NextVersion& next, const SigningKey& key);

// The whole of a version, for devices that are new, far behind or damaged. NextVersion::version is the version;
// its parent_version, factors and refactor are not used. InvalidArgument for a bad name or an adapter of DoRA, ResourceExhausted over kMaxUpdateBytes.
absl::StatusOr<SignedUpdate> MakeSnapshot(const Adapter& adapter, const NextVersion& next, const SigningKey& key);

// What a device expects of an update that it is given.
struct ExpectedUpdate {
  std::string task;
  Digest base{};
  uint64_t seed = 0;
};

// Verifies signature, task, base and (unless a snapshot) parent hash, applies the body to a copy, and checks the
// result's hash. `parent` must have the task's spec; of a snapshot only its spec is used.
// InvalidArgument (a manifest that ParseUpdate would refuse); Unauthenticated (signature); FailedPrecondition (another task, base or parent than this device's, with both);
// DataLoss (body or result hash); ResourceExhausted (the body unpacks to more than the spec needs).
absl::StatusOr<Adapter> ApplyUpdate(const SignedUpdate& update, const Adapter& parent,
                                    const ExpectedUpdate& expected, const VerifyKey& key);

}  // namespace fleetune
