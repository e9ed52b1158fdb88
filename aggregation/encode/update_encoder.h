#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/encode/encoding_options.h"
#include "aggregation/encode/ring.h"
#include "base/random.h"

namespace fleetune {

// Attempts before values are rounded towards zero to keep rounded_norm_limit. The limit that privacy is usually
// computed with is missed by one attempt with a probability of at most e^-1/2, thus by all of them with e^-32.
inline constexpr int kMaxRoundingAttempts = 64;

// What one device puts in.
struct UpdateInput {
  std::vector<float> values;             // used up: clipped and rotated in place
  double weight = 1;                     // [0, max_weight]; 1 for everybody under differential privacy
  uint64_t trained_groups = UINT64_MAX;  // bit g: group g was trained. Bits beyond the groups are ignored
};

struct EncodedInput {
  RingVector ring;       // RingLength elements below 2^b
  double norm = 0;       // L2 before clipping
  bool clipped = false;  // the norm was above clip_norm
  uint64_t clamped = 0;  // coordinates that were beyond the range
  double peak = 0;       // largest |coordinate| / range before clamping
};

// Averages over devices, each device once whatever its weight. In [0, 1].
struct EncodingTelemetry {
  double clamped_share = 0;          // of coordinates beyond the range
  double clipped_devices_share = 0;  // of devices whose norm was above clip_norm
  double mean_peak_share = 0;        // largest |coordinate| / range, at most 1: what is left to 1 is headroom
};

struct DecodedUpdate {
  std::vector<float> mean;            // weighted, group by group; 0 in a group that nobody trained
  double total_weight = 0;            // of the group that has most
  std::vector<double> group_weights;  // in the unit of UpdateInput::weight
  std::optional<EncodingTelemetry> telemetry;
};

// Floats to ring elements on the device, a sum of them to a mean on the coordinator:
//     clip in L2 -> rotate -> clamp -> times weight / max_weight -> times s -> round stochastically -> mod 2^b.
// Noise, if any, is added to the values of the ring later: it belongs to a cell, not to an update.
// The ring holds the values, then weight / max_weight for each group (0 if not trained), then, with telemetry, the
// share of clamped coordinates, whether the norm was clipped, and the peak. Weights and telemetry are in ShareUnit
// steps.
//
// Error: rounding moves each element by less than one step, without bias and with a standard deviation of at most 1/2.
// With m inputs, W the sum of their weight / max_weight in a group, U = ShareUnit, and D values, the decoded mean of
// the group differs from the weighted mean of what was left after clipping and clamping by, in L2, at most
//     (m sqrt(D) / s + |mean| m / U) / (W - m / U)
// (without rotation also in each coordinate, without sqrt(D)), and by a standard deviation a coordinate of about
//     sqrt(m) / (2 s W),
// beside rotation's kRotationRelativeError. D counts all values: rotation spreads rounding over all groups.
//
// Immutable, so thread-safe. Holds one copy of the options.
class UpdateEncoder {
 public:
  // InvalidArgument as Validate says.
  static absl::StatusOr<UpdateEncoder> Create(EncodingOptions options);

  // InvalidArgument if a value is NaN or infinite or is not zero though its group was not trained (naming the first
  // such index), if the number of values or the weight is wrong, or no group was trained.
  // The bits depend on the input and the draws alone, on every machine.
  absl::StatusOr<EncodedInput> Encode(UpdateInput input, RandomSource& random) const;

  // `sum` of the inputs of `counted` devices; bits above the lane are ignored. Requires RingLength elements and
  // 1 <= counted <= max_inputs; checked.
  // InvalidArgument if the weights cannot be those of honest devices: a group below zero or, unless sums may wrap
  // around, above counted; or if all are zero (nothing to average).
  absl::StatusOr<DecodedUpdate> Decode(std::span<const uint32_t> sum, uint32_t counted) const;

  // The same for a sum of sums, of any number of devices: its elements are the numbers themselves (SignedElement of each
  // sum), added in 32 bits. Requires counted >= 1.
  absl::StatusOr<DecodedUpdate> DecodeWide(std::span<const int32_t> sum, uint32_t counted) const;

  const EncodingOptions& options() const { return options_; }
  uint64_t ring_length() const { return ring_length_; }

 private:
  explicit UpdateEncoder(EncodingOptions options);

  absl::Status CheckInput(const UpdateInput& input) const;
  absl::Status CheckUntrained(const UpdateInput& input) const;
  struct Factors {
    double shrink;  // what clipping leaves to do
    double share;   // weight / max_weight
  };
  void RoundValues(std::span<const float> values, Factors factors, RandomSource& random, EncodedInput& encoded) const;
  void AppendShares(const UpdateInput& input, RandomSource& random, EncodedInput& encoded) const;
  absl::StatusOr<std::vector<double>> GroupShares(std::span<const int32_t> sum, uint32_t counted) const;

  EncodingOptions options_;
  std::vector<GroupRun> runs_;  // never empty
  uint32_t group_count_;
  uint64_t ring_length_;
  double range_;
  double steps_per_unit_;
  double share_unit_;
};

}  // namespace fleetune
