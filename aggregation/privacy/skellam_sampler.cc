#include "aggregation/privacy/skellam_sampler.h"

#include <fmt/format.h>

#include <bit>

#include "aggregation/privacy/exact_coin.h"
#include "aggregation/privacy/skellam_density.h"
#include "aggregation/privacy/skellam_table.h"
#include "base/check.h"
#include "base/status_macros.h"

namespace fleetune {
namespace {

static_assert(SkellamTable::kMaxVariance + 1 == SkellamDensity::kMinVariance);
static_assert(SkellamDensity::kMaxVariance == kMaxSkellamVariance);

constexpr int kFractionBits = SkellamDensity::kFractionBits;

// The Laplace scale t = 2^shift with t^2 between half and twice the variance.
int LaplaceShift(uint64_t variance) { return static_cast<int>(std::bit_width(variance)) / 2; }

// k >= 0 with probability proportional to exp(-k / 2^shift): k = q 2^shift + u, q geometric, u uniform and
// accepted with probability exp(-u / 2^shift).
uint64_t DrawOneSidedLaplace(int shift, RandomWords& words) {
  uint64_t u = 0;
  do {
    u = words.Next() >> (64 - shift);
  } while (!CoinExpMinus(static_cast<Uint128>(u) << (128 - shift), words));
  uint64_t q = 0;
  // At 64 the value is beyond what the density covers, so it is refused anyway.
  while (q < 64 && CoinExpMinusOne(words)) ++q;
  return (q << shift) + u;
}

bool CoinExpMinusFixedPoint(Uint128 x, RandomWords& words) {
  for (Uint128 whole = x >> kFractionBits; whole > 0; --whole) {
    if (!CoinExpMinusOne(words)) return false;
  }
  return CoinExpMinus(x << (128 - kFractionBits), words);
}

template <typename T, typename Add>
absl::Status AddNoise(std::span<T> values, uint64_t variance, RandomSource& random, Add add) {
  ASSIGN_OR_RETURN(const SkellamSampler sampler, SkellamSampler::Create(variance));
  RandomWords words(random);
  for (T& value : values) add(value, sampler.Draw(words));
  return absl::OkStatus();
}

}  // namespace

SkellamSampler::SkellamSampler(uint64_t variance) : variance_(variance) {
  if (variance == 0) return;
  if (variance <= SkellamTable::kMaxVariance) {
    table_ = std::make_unique<const SkellamTable>(variance);
  } else {
    density_ = std::make_unique<const SkellamDensity>(variance);
  }
}

SkellamSampler::~SkellamSampler() = default;
SkellamSampler::SkellamSampler(SkellamSampler&&) noexcept = default;
SkellamSampler& SkellamSampler::operator=(SkellamSampler&&) noexcept = default;

absl::StatusOr<SkellamSampler> SkellamSampler::Create(uint64_t variance) {
  if (variance > kMaxSkellamVariance) {
    return absl::InvalidArgumentError(
        fmt::format("a noise variance of {} is over {}: use a smaller scale", variance, kMaxSkellamVariance));
  }
  return SkellamSampler(variance);
}

int64_t SkellamSampler::Draw(RandomWords& words) const {
  if (table_) return table_->Draw(words);
  return density_ ? DrawLarge(words) : 0;
}

int64_t SkellamSampler::DrawLarge(RandomWords& words) const {
  const int shift = LaplaceShift(variance_);
  // The most by which the proposal's logarithm, -k/t, exceeds the distribution's: variance / (2 t^2) where both
  // are quadratic, and 2^-10 for what they are not (less than 1 / variance).
  const Uint128 most = (static_cast<Uint128>(variance_) << (kFractionBits - 1 - 2 * shift)) +
                       (static_cast<Uint128>(1) << (kFractionBits - 10));
  for (;;) {
    const uint64_t magnitude = DrawOneSidedLaplace(shift, words);
    if (!density_->Covers(magnitude)) continue;
    const bool negative = words.Next() >> 63 != 0;
    if (negative && magnitude == 0) continue;  // or zero would come twice as often
    const Uint128 drop = density_->LogDrop(magnitude) + most;
    const Uint128 proposal = static_cast<Uint128>(magnitude) << (kFractionBits - shift);
    CHECK(drop >= proposal);
    if (!CoinExpMinusFixedPoint(drop - proposal, words)) continue;
    return negative ? -static_cast<int64_t>(magnitude) : static_cast<int64_t>(magnitude);
  }
}

absl::Status AddSkellamNoise(std::span<uint32_t> ring, uint64_t variance, RandomSource& random) {
  return AddNoise(ring, variance, random,
                  [](uint32_t& value, int64_t noise) { value += static_cast<uint32_t>(static_cast<uint64_t>(noise)); });
}

absl::Status AddSkellamNoise(std::span<int64_t> values, uint64_t variance, RandomSource& random) {
  return AddNoise(values, variance, random, [](int64_t& value, int64_t noise) { value += noise; });
}

}  // namespace fleetune
