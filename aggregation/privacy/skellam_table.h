#pragma once

#include <cstdint>
#include <vector>

#include "aggregation/privacy/exact_coin.h"
#include "aggregation/privacy/wide_fixed_point.h"

namespace fleetune {

// Skellam noise of a small variance by inversion of a table of |k|, made with integers alone.
//
// P[k] is proportional to I_k(variance), a modified Bessel function. The ratios I_k / I_(k-1) =
// 1 / (2k/variance + I_(k+1)/I_k) are computed downward, where errors shrink, to 2^-119 each; a weight is
// their product, and what is below 2^-112 of the mode is left out. A draw is off by less than 2^-100 in
// total variation.
//
// Memory: 16 bytes for each of at most 16 standard deviations + 64 values. Immutable, so thread-safe.
class SkellamTable {
 public:
  static constexpr uint64_t kMaxVariance = (uint64_t{1} << 18) - 1;

  // Requires 1 <= variance <= kMaxVariance; checked. A few milliseconds at most.
  explicit SkellamTable(uint64_t variance);

  int64_t Draw(RandomWords& words) const;

 private:
  std::vector<Uint128> cumulative_;  // [k]: the weight of all values with |value| <= k
  Uint128 mask_ = 0;                 // the smallest 2^b - 1 that is at least the whole weight
};

}  // namespace fleetune
