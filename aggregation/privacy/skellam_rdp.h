#pragma once

#include <cstdint>
#include <span>

#include "absl/status/statusor.h"
#include "aggregation/privacy/rdp_curve.h"

namespace fleetune {

// Most by which one device can move an integer sum.
struct IntegerSensitivity {
  double l2 = 0;
  double l1 = 0;
};

// Of a vector of `dimension` values that was scaled to an L2 norm of at most `scaled_clip` (scale * clip) and
// rounded stochastically, again and again until its norm is within this bound (Kairouz, Liu and Steinke 2021,
// proposition 26, with beta = e^-1/2, so that sqrt(2 ln 1/beta) = 1):
//   l2 = min(c + sqrt(d), sqrt(c^2 + d/4 + c + sqrt(d)/2)),   l1 = min(sqrt(d) * l2, l2^2), for integers.
// A try succeeds with probability 1 - beta = 0.39 at least (in practice nearly always). Who caps the tries must
// then round toward zero, which keeps the norm below c. Requires scaled_clip >= 0; checked.
IntegerSensitivity RoundedSensitivity(double scaled_clip, uint64_t dimension);

// Far beyond what 32 bits hold, and such that no bound below overflows a double.
inline constexpr double kMaxReleaseL2 = 0x1p60;
inline constexpr double kMinReleaseVariance = 0x1p-20;
inline constexpr double kMaxReleaseVariance = 0x1p120;

// A sum of integers with Skellam noise.
struct SkellamRelease {
  IntegerSensitivity sensitivity;  // l2 in [0, kMaxReleaseL2], l1 in [0, kMaxReleaseL2^2]
  double variance = 0;             // of all who are honest and present, [kMinReleaseVariance, kMaxReleaseVariance]
  double sampling_rate = 1;        // [0, 1]; of who is in the sum at all, as an outsider sees it

  friend bool operator==(const SkellamRelease& a, const SkellamRelease& b) {
    return a.sensitivity.l2 == b.sensitivity.l2 && a.sensitivity.l1 == b.sensitivity.l1 && a.variance == b.variance &&
           a.sampling_rate == b.sampling_rate;
  }
};

// InvalidArgument naming the field out of range.
absl::Status Validate(const SkellamRelease& release);

// The Renyi divergence of one release to whoever chose its members: sampling_rate is ignored (Agarwal, Kairouz and
// Liu 2021, theorem 3.5):
//   order * l2^2 / 2m + min(((2 order - 1) l2^2 + 6 l1) / 4m^2, 3 l1 / 2m), m the variance.
// It holds at whole orders; at others this returns the next whole order's, which is no smaller.
absl::StatusOr<RdpCurve> SkellamRdp(const SkellamRelease& release, std::span<const double> orders = StandardOrders());

// To an outsider who does not know who was in the sum, each device being in it with probability sampling_rate
// independently: the bound for any mechanism of Zhu and Wang 2019 (theorem 5). Never above SkellamRdp.
absl::StatusOr<RdpCurve> AmplifiedSkellamRdp(const SkellamRelease& release,
                                             std::span<const double> orders = StandardOrders());

}  // namespace fleetune
