#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "aggregation/encode/lanes.h"
#include "aggregation/encode/rotation.h"

namespace fleetune {

// The next `length` values of an update belong to `group`.
struct GroupRun {
  uint64_t length = 0;  // above 0
  uint32_t group = 0;
};

inline constexpr uint32_t kMaxGroups = 64;  // a set of groups is a u64
inline constexpr uint32_t kTelemetryElements = 3;

// How an update of floats becomes ring elements and a sum of them a mean (update_encoder.h). Both sides must hold the
// same options; they are part of what the coordinator signs.
struct EncodingOptions {
  uint64_t values = 0;                     // d, 1 .. kMaxEncodedValues
  double clip_norm = 1.0;                  // C: the whole update is scaled down to this L2 norm, [1e-12, 1e6]
  double max_weight = 1.0;                 // weights w are in [0, max_weight] and count as w / max_weight, (0, 1e6]
  LaneBits lane = LaneBits::k32;           // b: arithmetic is mod 2^b
  uint32_t max_inputs = kMaxSummedInputs;  // n: most devices in a sum, 1 .. kMaxSummedInputs

  // Makes updates flat before they are rounded (rotation.h). Without it (tests, comparisons) each coordinate may be as
  // large as clip_norm, which costs log2(sqrt(d) / range_factor) bits.
  std::optional<RotationSeed> rotation = std::nullopt;

  // tau: with rotation, coordinates are clamped to +-min(C, tau C / sqrt(d)); 1 .. 1000. A rotated coordinate of an
  // update at the clip norm has a standard deviation of C / sqrt(d), at most sqrt(2) of that (rotation.h). Beyond 6 of
  // them lie 2e-9 of the coordinates, in the worst case (4.2) 2.2e-5, and then only by a little: clamping bends nothing
  // that rounding would not hide. 4 would buy another 0.6 bits for 6e-5, in the worst case 5e-3, of them.
  double range_factor = 6;

  // s: ring steps for 1.0. 0 takes the largest with which no sum can wrap around; see MaxSteps.
  double scale = 0;

  // Distributed differential privacy: `scale` then is part of the accounting and must be given, and a sum of values may
  // wrap, which noise makes improbable. A single value still must not: ceil(s range) < 2^(b-1).
  bool wrap_allowed = false;

  // Differential privacy: L2 norm, in steps, that the rounded values may have; rounding is repeated until they do. 0:
  // no limit. At least s C, so that rounding towards zero, the last resort, always has it.
  double rounded_norm_limit = 0;

  // Appends the elements that tell the operator how much was clipped. They reveal a little about single devices in
  // small sums; under differential privacy they need noise and accounting of their own, or must be off.
  bool telemetry = true;

  // Which values a smaller device may leave out, as runs one after another that cover all values. Empty: one group.
  // Groups are numbered from 0 without gaps, at most kMaxGroups.
  std::vector<GroupRun> groups = {};
};

// InvalidArgument naming the field out of range, with its range. Also, naming the lane that would do, if a sum of
// max_inputs values could wrap around (without wrap_allowed): with K = ceil(s range),
//     2^(b-1) > n (K + 1)
// must hold. Each input is at most K steps, so the largest sum, n K, stays below 2^(b-1) with n steps to spare.
absl::Status Validate(const EncodingOptions& options);

// What follows from valid options; unspecified for others. Doubles only, in a fixed order: the same on every machine.
uint32_t GroupCount(const EncodingOptions& options);
uint64_t RingLength(const EncodingOptions& options);     // values, then a weight a group, then telemetry
double CoordinateRange(const EncodingOptions& options);  // largest |coordinate| after clamping
double StepsPerUnit(const EncodingOptions& options);     // s
int64_t MaxSteps(const EncodingOptions& options);   // K: largest |value| in steps; (2^(b-1) - 1) / n - 1 if derived
int64_t ShareUnit(const EncodingOptions& options);  // steps of a weight or telemetry of 1: (2^(b-1) - 1) / n

}  // namespace fleetune
