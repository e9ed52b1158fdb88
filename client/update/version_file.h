#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "client/core/check_in.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// A version of a task's adapter as a device keeps it: B, A unless it follows from the seed, and all that is
// needed to answer with it while offline. Little-endian:
//
//   8 bytes "FTVERS01" | u32 length and task | u32 version | 32 bytes base | u64 seed | u32 rank | f32 alpha
//   | u8 number of targets, u8 each (Projection) | 32 bytes AdapterHash | u64 values of B, f32 each | 32 bytes SHA-256
//   of all before
//
// "FTVERS02" is the same with u64 values of A, at least one, f32 each, after those of B.
struct StoredVersion {
  ServedVersion version;   // its hash is AdapterHash(adapter, seed)
  Digest base;             // SHA-256 of the base model
  uint64_t seed = 0;       // of A
  uint32_t rank = 0;
  float alpha = 0;
  std::vector<Projection> targets;
  std::vector<float> b;    // Adapter::b
  std::vector<float> a = {};  // Adapter::a; empty: the seed's

  friend bool operator==(const StoredVersion&, const StoredVersion&) = default;
};

inline constexpr uint32_t kMaxStoredTaskBytes = 64;  // of the format; today kMaxTaskNameBytes
// The largest A and B and the fields before and after them.
inline constexpr uint64_t kMaxVersionFileBytes = kMaxAdapterParameters * 8 + 1024;

Bytes SerializeVersion(const StoredVersion& stored);

// The inverse. DataLoss if anything is cut off, left over, or does not hash to what is written.
absl::StatusOr<StoredVersion> ParseVersion(std::span<const uint8_t> bytes);

// What is kept of `adapter`, which must be of the plan's spec.
StoredVersion MakeStoredVersion(const TrainingPlan& plan, const ServedVersion& version, const Adapter& adapter);

// The adapter over a base model of these sizes. InvalidArgument if it does not fit; DataLoss if its AdapterHash is
// not the one that is written.
absl::StatusOr<Adapter> RebuildAdapter(const StoredVersion& stored, const BaseSizes& sizes);

// Of a plan over a base model of these sizes.
absl::StatusOr<AdapterSpec> SpecOfPlan(const TrainingPlan& plan, const BaseSizes& sizes);

}  // namespace fleetune
