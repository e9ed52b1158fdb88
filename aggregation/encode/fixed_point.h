#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "aggregation/encode/ring.h"
#include "base/random.h"

namespace fleetune {

// How floats become ring elements. The same on both sides; travels in the training plan.
struct FixedPointOptions {
  double clip_norm = 1.0;                  // the whole vector is scaled down to this L2 norm, (0, 1e6]
  uint32_t fraction_bits = 16;             // 1.0 is 2^fraction_bits, 1 .. 28
  double max_weight = 1.0;                 // weights are in [0, max_weight] and are sent as w / max_weight, (0, 1e6]
  uint32_t max_inputs = kMaxSummedInputs;  // most devices in a sum
};

// InvalidArgument naming the field; also if a sum of max_inputs could wrap around the ring:
// 2^31 > max_inputs * (ceil(2^fraction_bits * max(clip_norm, 1)) + 1) must hold. The message says
// which fraction_bits would do.
absl::Status Validate(const FixedPointOptions& options);

struct EncodedUpdate {
  RingVector ring;       // values.size() + 1 elements: (w / max_weight) * clipped values, then w / max_weight
  bool clipped = false;  // the norm was above clip_norm
  double norm = 0;       // L2 before clipping
};

// Clips in L2, weights, scales, rounds stochastically (up with a probability equal to the fraction, so the
// mean error is zero) and appends the weight. Draws 4 bytes of `random` an element: the probability is right
// to 2^-32. Requires valid options; checked.
// InvalidArgument if a value is NaN or infinite (naming the first index) or the weight is out of range;
// ResourceExhausted over kMaxEncodedValues.
absl::StatusOr<EncodedUpdate> EncodeUpdate(std::span<const float> values, double weight,
                                           const FixedPointOptions& options, RandomSource& random);

// The weighted mean of what was summed, and its total weight.
struct DecodedMean {
  std::vector<float> mean;  // sum.size() - 1 values
  double total_weight = 0;  // in the unit of EncodeUpdate's weight
};
// Requires valid options and the weight's element; checked.
// InvalidArgument if the total weight is zero or negative (nothing to average).
absl::StatusOr<DecodedMean> DecodeMean(std::span<const uint32_t> sum, const FixedPointOptions& options);

// 4 little-endian bytes an element, and back (DataLoss unless the size is 4 * `length`).
std::vector<uint8_t> PackRing(std::span<const uint32_t> ring);
absl::StatusOr<RingVector> UnpackRing(std::span<const uint8_t> bytes, uint64_t length);

}  // namespace fleetune
