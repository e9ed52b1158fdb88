#pragma once

#include <cstdint>

#include "absl/status/statusor.h"
#include "aggregation/privacy/skellam_rdp.h"

namespace fleetune {

// What a task says about differential privacy. Written by the operator; travels to every device.
struct DifferentialPrivacy {
  double clip_norm = 1.0;         // C: L2 norm of an update at most, (0, 1e6]
  double noise_multiplier = 1.0;  // z: noise of a cell's sum / clip_norm, counting honest survivors only, [0.05, 100]
  double delta = 1e-6;            // of every epsilon, (0, 1e-3]
  double device_epsilon_limit = 8.0;  // what one device spends on this task, all cells together, (0, 100]
  double rounding_overhead = 0.01;    // by which integers may raise a cell's epsilon, or its noise, [1e-4, 1]

  friend bool operator==(const DifferentialPrivacy&, const DifferentialPrivacy&) = default;
};

// InvalidArgument naming the first field out of range, with its range.
absl::Status ValidateRanges(const DifferentialPrivacy& privacy);

// As ValidateRanges. Also if a single cell already costs more than
// device_epsilon_limit: the message says which noise_multiplier would do.
absl::Status Validate(const DifferentialPrivacy& privacy);

// The cell that the noise is shared among.
struct CellShape {
  uint32_t devices = 0;            // n: 3 .. 4096
  double adversarial_share = 0.1;  // gamma: whose noise does not count, [0, 0.5)
  double dropout_share = 0.1;      // delta of the paper: who may vanish, [0, 0.5); the two together below 0.8
  uint64_t dimension = 0;          // values of the summed vector, 1 .. 2^28
  uint32_t fewest_devices = 0;     // of the smallest cell with the same scale, 3 .. devices; 0: all have `devices`
};

// InvalidArgument naming the first field out of range.
absl::Status Validate(const CellShape& shape);

// ceil(devices * (1 - dropout_share)): with so many in the sum, those that are not adversarial are at least the ones
// whose noise is counted. Requires valid devices and dropout_share.
uint32_t FewestSurvivors(const CellShape& shape);

// The integers of one cell: what the encoder (scale, ring_bits, device_variance) and the accountant (release) both use.
struct SkellamPlan {
  int ring_bits = 0;               // sums are mod 2^ring_bits
  double scale = 0;                // 1.0 is this many integer steps
  double headroom_deviations = 0;  // see PlanSkellamIn
  uint64_t device_variance = 0;    // of the Skellam noise that each device adds, in squared integer steps
  uint32_t counted_devices = 0;    // floor(n * (1 - gamma - delta)): whose noise is counted
  SkellamRelease release;          // sensitivity, and the variance of the counted devices together
  double epsilon = 0;              // of this one cell at privacy.delta
  double gaussian_epsilon = 0;     // the same with real numbers and Gaussian noise, at whole orders
};

// The finest integers that fit into `ring_bits` (8 .. 32): each counted device adds Skellam noise of standard deviation
//   z * C / sqrt(n * (1 - gamma - delta)),
// and scale s is the largest for which half the ring is `deviations` (1 .. 32) standard deviations of a coordinate
// of the sum:
//   2^(b-1) = deviations * sqrt(n^2 s^2 C^2 / d + n / 4 + n * device_variance).
// That is: all n updates pull the same way at the full clip, spread evenly by the rotation over d coordinates; 1/4 is
// the variance of stochastic rounding; and the noise is of all n devices, since all may survive. This is the
// accuracy rule of Kairouz, Liu and Steinke 2021 (section 6, k = deviations, rho = 1). Wrapping costs accuracy,
// never privacy. With 4 deviations, d = 2^20, n = 1024, z = 1 and no shares it gives epsilon 5.246 in 16 bits, 5.223
// in 20, against the Gaussian's 5.222. The scale is cut further where device_variance would pass
// kMaxSkellamVariance.
// InvalidArgument if a field is out of range, or if rounding alone fills the ring.
absl::StatusOr<SkellamPlan> PlanSkellamIn(const DifferentialPrivacy& privacy, const CellShape& shape, int ring_bits,
                                          double deviations);

inline constexpr double kMinHeadroomDeviations =
    4;  // about 6 coordinates in 10^5 wrap when all pull alike; fewer if not
inline constexpr double kMaxHeadroomDeviations = 16;

// The narrowest lane of 16, 24 or 32 bits whose epsilon and noise (with that of rounding) are within
// rounding_overhead of the Gaussian's, with as much headroom (16, 12, 8, 6, 5 or 4 deviations) as that leaves.
// InvalidArgument if none is, or if the cell costs more than device_epsilon_limit; the message says what would do.
absl::StatusOr<SkellamPlan> PlanSkellam(const DifferentialPrivacy& privacy, const CellShape& shape);

// The same in a lane of `lane_bits` (16, 24 or 32), for cells of fewest_devices .. devices that all have the plan's
// scale: their sums may be added, and each costs the same, since `release` has the variance (z s C)^2, which the counted
// devices of a cell of any size have at least if each adds DeviceVariance.
// InvalidArgument as PlanSkellam, or if the lane is too narrow; the message says which would do.
absl::StatusOr<SkellamPlan> PlanSkellamInLane(const DifferentialPrivacy& privacy, const CellShape& shape,
                                              int lane_bits);

// What each device of a cell of `shape` adds: ceil((z s C)^2 / counted devices). Requires what PlanSkellamInLane
// accepted, with `devices` of this cell, and its scale.
uint64_t DeviceVariance(const DifferentialPrivacy& privacy, const CellShape& shape, double scale);

}  // namespace fleetune
