#include "aggregation/privacy/skellam_density.h"

#include <bit>

#include "base/check.h"

namespace fleetune {
namespace {

struct Ratio {
  int64_t numerator = 0;
  int64_t denominator = 1;
};

constexpr int kRows = 6;
constexpr int kColumns = 12;

// [j][i - 1]: the factor of variance^(1 - j) * (k / variance)^(2i). Row 0 is the binomial series of
// 1/sqrt(1 + v^2) integrated twice, row 1 is ln(1 + v^2) / 4, the others come from the recurrence of
// Debye's polynomials, U_(n+1) = p^2 (1 - p^2) U_n' / 2 + (1/8) * integral of (1 - 5 t^2) U_n, and the
// logarithm of their sum. A row ends where its terms fall below 2^-105 at the smallest variance.
constexpr Ratio kSeries[kRows][kColumns] = {
    {{1, 2},
     {-1, 24},
     {1, 80},
     {-5, 896},
     {7, 2304},
     {-21, 11264},
     {33, 26624},
     {-143, 163840},
     {715, 1114112},
     {-2431, 4980736},
     {4199, 11010048},
     {-29393, 96468992}},
    {{1, 4}, {-1, 8}, {1, 12}, {-1, 16}, {1, 20}, {-1, 24}, {1, 28}, {-1, 32}, {1, 36}, {-1, 40}, {1, 44}},
    {{13, 48},
     {-23, 64},
     {55, 128},
     {-1505, 3072},
     {1113, 2048},
     {-4851, 8192},
     {10439, 16384},
     {-178035, 262144},
     {376805, 524288}},
    {{7, 16}, {-9, 8}, {17, 8}, {-55, 16}, {81, 16}, {-7, 1}, {37, 4}},
    {{1187, 1280}, {-4017, 1024}, {198595, 18432}, {-385321, 16384}, {1456873, 32768}},
    {{155, 64}, {-1953, 128}, {115, 2}, {-10435, 64}},
};

}  // namespace

// With g = 256 / variance a term is kSeries[j][i - 1] * 256^(1 - j) * g^(i + j - 1) * T^i, T = k^2 / (256 variance).
SkellamDensity::SkellamDensity(uint64_t variance) {
  CHECK(variance >= kMinVariance && variance <= kMaxVariance);
  static_assert(kColumns == kDegree && kMaxDeviations * kMaxDeviations == 256);
  end_of_squares_ = kMaxDeviations * kMaxDeviations * variance;
  normalizing_shift_ = std::countl_zero(end_of_squares_);
  reciprocal_ = FractionOf(uint64_t{1} << 62, end_of_squares_ << normalizing_shift_);

  std::array<Uint128, kRows + kColumns> power{};  // [n]: g^n as Q128, n >= 1
  power[1] = FractionOf(kMaxDeviations * kMaxDeviations, variance);
  for (size_t n = 2; n < power.size(); ++n) power[n] = MultiplyHigh(power[n - 1], power[1]);

  for (int j = 0; j < kRows; ++j) {
    for (int i = 1; i <= kDegree; ++i) {
      const Ratio& ratio = kSeries[j][i - 1];
      const int n = i + j - 1;
      // From Q128 to kFractionBits, times 256^(1 - j). g < 2^-10 leaves room for every numerator.
      const Uint128 scaled = n == 0 ? static_cast<Uint128>(256) << kFractionBits
                                    : power[static_cast<size_t>(n)] >> (128 - kFractionBits + 8 * (j - 1));
      coefficients_[static_cast<size_t>(i - 1)] += static_cast<Int128>(scaled) * ratio.numerator / ratio.denominator;
    }
  }
}

Uint128 SkellamDensity::LogDrop(uint64_t magnitude) const {
  CHECK(Covers(magnitude));
  const uint64_t square = magnitude * magnitude << normalizing_shift_;
  const Uint128 high = static_cast<Uint128>(square) * static_cast<uint64_t>(reciprocal_ >> 64);
  const Uint128 low = static_cast<Uint128>(square) * static_cast<uint64_t>(reciprocal_);
  const Uint128 t = (high << 2) + (low >> 62);  // T as Q128
  Int128 sum = 0;
  for (size_t i = coefficients_.size(); i-- > 0;) {
    sum += coefficients_[i];
    sum = sum >= 0 ? static_cast<Int128>(MultiplyHigh(static_cast<Uint128>(sum), t))
                   : -static_cast<Int128>(MultiplyHigh(static_cast<Uint128>(-sum), t));
  }
  return sum > 0 ? static_cast<Uint128>(sum) : 0;
}

}  // namespace fleetune
