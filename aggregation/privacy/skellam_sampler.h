#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "base/random.h"

namespace fleetune {

class RandomWords;
class SkellamDensity;
class SkellamTable;

// Skellam noise: the difference of two independent Poisson counts of mean variance / 2 each. A sum of such noise
// of independent devices is Skellam noise again, of the sum of the variances, which is why distributed differential
// privacy uses it (Agarwal, Kairouz and Liu 2021).
//
// Integers alone, so the same random bytes give the same noise on every machine, and no draw shows the rounding of a
// floating-point logarithm (Mironov 2012). Two ways, both of the exact distribution up to a stated distance:
//   variance < 2^18   inversion of a table (skellam_table.h);
//   above             proposals from the discrete Laplace distribution, accepted with probability exp(-x) by exact
//                     coins (exact_coin.h), x from the logarithm of the distribution (skellam_density.h). About
//                     two in three are accepted.
//
// Total variation distance per draw from the true distribution: below kSkellamDistance. A sum over n devices
// of d values is at most n * d * kSkellamDistance off, which at (1 + exp(epsilon)) times that is charged to delta:
// for n = 4096, d = 2^24, epsilon = 10 that is 2^-49.
//
// Cost: on one desktop core a million draws take 0.1 s (table) to 0.4 s (coins, about 100 random bytes a draw);
// SkellamSamplerTest.AMillionDrawsReachAsFarAsTheyShould runs both. A table costs at most 130 KB and some milliseconds.
// The time of a draw depends on the noise, not on what it is added to.
inline constexpr uint64_t kMaxSkellamVariance = uint64_t{1} << 40;
inline constexpr double kSkellamDistance = 0x1p-100;

// Immutable after Create, so thread-safe as long as each thread has random words of its own.
class SkellamSampler {
 public:
  // variance: 0 (all draws are 0) .. kMaxSkellamVariance. InvalidArgument above.
  static absl::StatusOr<SkellamSampler> Create(uint64_t variance);
  ~SkellamSampler();
  SkellamSampler(SkellamSampler&&) noexcept;
  SkellamSampler& operator=(SkellamSampler&&) noexcept;

  // |result| is at most 16 standard deviations + 64: the rest has less than 2^-112 of the distribution.
  int64_t Draw(RandomWords& words) const;

  uint64_t variance() const { return variance_; }

 private:
  explicit SkellamSampler(uint64_t variance);
  int64_t DrawLarge(RandomWords& words) const;

  uint64_t variance_ = 0;
  std::unique_ptr<const SkellamTable> table_;      // of a small variance
  std::unique_ptr<const SkellamDensity> density_;  // of a large one
};

// Adds an independent draw to every value: mod 2^32 (of a narrower ring the caller keeps the low bits), or
// plainly (the caller sees to it that 16 standard deviations + 64 fit). InvalidArgument as in Create, nothing changed.
// Draws from `random` in blocks of 4 KiB; what is left of the last block is thrown away.
absl::Status AddSkellamNoise(std::span<uint32_t> ring, uint64_t variance, RandomSource& random);
absl::Status AddSkellamNoise(std::span<int64_t> values, uint64_t variance, RandomSource& random);

}  // namespace fleetune
