#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "base/bytes.h"
#include "base/clock.h"
#include "base/digest.h"
#include "lora/adapter/adapter.h"

namespace fleetune {

// What a device learned from its own examples for its owner alone, on top of a version of a task's adapter. It never leaves the
// device: nothing that sends may include this folder (tests/layers). Plain data.
struct PersonalAdapter {
  std::string task;            // whose adapter it sits on
  Digest base;                 // SHA-256 of the base model
  uint32_t over_version = 0;   // of that adapter, when it was trained; it is used on top of later ones, too
  TimePoint trained_at;        // milliseconds
  uint64_t examples = 0;       // that it learned from
  double loss_without = 0;     // over the held-out examples, with that version alone, nats a token
  double loss_with = 0;        // with this on top
  uint32_t rank = 0;
  float alpha = 0;
  std::vector<Projection> targets = {};
  std::vector<float> a = {};   // Adapter::a
  std::vector<float> b = {};   // Adapter::b

  friend bool operator==(const PersonalAdapter&, const PersonalAdapter&) = default;
};

// Little-endian: 8 bytes "FTPERS01" | u32 length and task | 32 bytes base | u32 over_version | i64 trained_at in ms |
// u64 examples | f64 loss_without | f64 loss_with | u32 rank | f32 alpha | u8 number of targets, u8 each (Projection) |
// u64 values of A, f32 each | u64 values of B, f32 each. Sealed before it is written: personal_shelf.h.
Bytes SerializePersonal(const PersonalAdapter& personal);

// The inverse. DataLoss if anything is cut off, left over, or makes no sense.
absl::StatusOr<PersonalAdapter> ParsePersonal(std::span<const uint8_t> bytes);

// Over a base model of these sizes. InvalidArgument if it does not fit.
absl::StatusOr<Adapter> AdapterOfPersonal(const PersonalAdapter& personal, const BaseSizes& sizes);

// What answers prompts: `personal` and the task's adapter as one (lora/adapter/joined.h). Errors of both.
absl::StatusOr<Adapter> PutOnTop(const PersonalAdapter& personal, const Adapter& below);

inline constexpr uint32_t kMaxPersonalTaskBytes = 64;
// The largest A and B and the fields before them.
inline constexpr uint64_t kMaxPersonalBytes = kMaxAdapterParameters * 8 + 1024;

}  // namespace fleetune
