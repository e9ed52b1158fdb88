#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "aggregation/privacy/wide_fixed_point.h"

namespace fleetune {

// ln P[0] - ln P[k] of the Skellam distribution of a large variance m, as a polynomial in k^2, with integers alone.
//
// P[k] is proportional to I_k(m), whose uniform expansion (Debye; DLMF 10.41) in v = k/m and w = 1/m is, taken
// as a logarithm, even in v:
//   ln P[0] - ln P[k] = m * (v asinh v - sqrt(1 + v^2) + 1) + ln(1 + v^2) / 4 - sum over j of w^j (d_j(v) - d_j(0)).
// The terms to w^4 are kept and expanded in v^2. For m >= kMinVariance and |k| < kMaxDeviations standard
// deviations what is left out, with all rounding, is below 2^-96, and below 2^-100 within 4 standard deviations
// (against Bessel functions of 400 bits: skellam_density_test.cc).
//
// Immutable, so thread-safe.
class SkellamDensity {
 public:
  static constexpr uint64_t kMinVariance = uint64_t{1} << 18;
  static constexpr uint64_t kMaxVariance = uint64_t{1} << 40;
  static constexpr uint64_t kMaxDeviations = 16;  // beyond lies less than 2^-180 of the distribution
  static constexpr int kFractionBits = 116;       // of what LogDrop returns

  // Requires kMinVariance <= variance <= kMaxVariance; checked.
  explicit SkellamDensity(uint64_t variance);

  // Whether |k| is below kMaxDeviations standard deviations.
  bool Covers(uint64_t magnitude) const {
    return magnitude < (uint64_t{1} << 25) && magnitude * magnitude < end_of_squares_;
  }

  // ln P[0] - ln P[magnitude] in units of 2^-kFractionBits. Requires Covers(magnitude); checked.
  Uint128 LogDrop(uint64_t magnitude) const;

 private:
  static constexpr int kDegree = 12;

  uint64_t end_of_squares_ = 0;  // kMaxDeviations^2 * variance
  int normalizing_shift_ = 0;    // leading zeros of end_of_squares_
  Uint128 reciprocal_ = 0;       // 2^190 / (end_of_squares_ << normalizing_shift_)
  // [i - 1]: the factor of (k^2 / end_of_squares_)^i.
  std::array<Int128, kDegree> coefficients_{};
};

}  // namespace fleetune
