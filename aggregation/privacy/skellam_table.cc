#include "aggregation/privacy/skellam_table.h"

#include <algorithm>

#include "base/check.h"

namespace fleetune {
namespace {

constexpr int kReciprocalBits = 120;  // 1 / ratio, which is below 2^8, in units of 2^-120
constexpr int kModeBits = 112;        // the weight of 0; the sum stays below 2^(112 + 12)

uint64_t CeilSquareRoot(uint64_t value) {
  uint64_t root = 0;
  while (root * root < value) ++root;
  return root;
}

// [k] = I_k / I_(k-1) as Q128, for k = 1 .. last. Element 0 is unused.
std::vector<Uint128> BesselRatios(uint64_t variance, uint64_t last) {
  std::vector<Uint128> ratios(last + 1);
  // The ratio above the last one is taken as 0. That error shrinks by the square of each ratio: by what is
  // left at 16 standard deviations, 2^-184, it is far below the last bit wherever the weight is not zero.
  Uint128 above = 0;
  for (uint64_t k = last; k >= 1; --k) {
    const Uint128 whole = static_cast<Uint128>(2 * k / variance) << kReciprocalBits;
    const Uint128 part = FractionOf(2 * k % variance, variance) >> (128 - kReciprocalBits);
    const Uint128 reciprocal = whole + part + (above >> (128 - kReciprocalBits));
    const Uint128 one = static_cast<Uint128>(1) << kReciprocalBits;
    above = reciprocal > one ? FractionOf(one, reciprocal) : ~static_cast<Uint128>(0);
    ratios[k] = above;
  }
  return ratios;
}

}  // namespace

SkellamTable::SkellamTable(uint64_t variance) {
  CHECK(variance >= 1 && variance <= kMaxVariance);
  const uint64_t last = 16 * CeilSquareRoot(variance) + 64;
  const std::vector<Uint128> ratios = BesselRatios(variance, last);
  Uint128 weight = static_cast<Uint128>(1) << kModeBits;
  cumulative_.push_back(weight);
  for (uint64_t k = 1; k <= last; ++k) {
    weight = MultiplyHigh(weight, ratios[k]);
    if (weight == 0) break;
    cumulative_.push_back(cumulative_.back() + 2 * weight);
  }
  while (mask_ < cumulative_.back()) mask_ = mask_ << 1 | 1;
}

int64_t SkellamTable::Draw(RandomWords& words) const {
  Uint128 point;
  do {
    point = (static_cast<Uint128>(words.Next()) << 64 | words.Next()) & mask_;
  } while (point >= cumulative_.back());
  const auto found = std::upper_bound(cumulative_.begin(), cumulative_.end(), point);
  const int64_t magnitude = found - cumulative_.begin();
  if (magnitude == 0) return 0;
  // The interval of |k| is two equal weights: the first is -k, the second is +k.
  const Uint128 below = *(found - 1);
  return point - below < (*found - below) / 2 ? -magnitude : magnitude;
}

}  // namespace fleetune
