#include "aggregation/secagg/shamir.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "aggregation/secagg/share_polynomials.h"
#include "base/bytes.h"
#include "base/check.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

constexpr int LimbBits(size_t limb) { return limb + 1 < kSecretLimbs ? kLimbBits : kLastLimbBits; }

Share::Limbs LimbsOf(const Secret32& secret) {
  Share::Limbs limbs;
  const std::span<const uint8_t, 32> bytes = secret.bytes();
  for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
    // 52 bits are 6.5 bytes, so a limb begins at a byte or at the upper half of one.
    const size_t bit = limb * kLimbBits;
    uint64_t word = 0;
    for (size_t i = 0; i < 7 && bit / 8 + i < bytes.size(); ++i) {
      word |= uint64_t{bytes[bit / 8 + i]} << (8 * i);
    }
    const uint64_t mask = (uint64_t{1} << LimbBits(limb)) - 1;
    limbs[limb] = Field61::Reduce((word >> (bit % 8)) & mask);
  }
  return limbs;
}

absl::Status CheckThreshold(uint32_t threshold, size_t available, const char* of_what) {
  if (threshold < kMinThreshold || threshold > available) {
    return absl::InvalidArgumentError(fmt::format("shares: expected a threshold of {} to the number of {}, {}, got {}",
                                                  kMinThreshold, of_what, available, threshold));
  }
  return absl::OkStatus();
}

}  // namespace

Share::Share(Share&& other) noexcept : limbs_(other.limbs_) { WipeElements(other.limbs_); }

Share& Share::operator=(Share&& other) noexcept {
  if (this == &other) return *this;
  limbs_ = other.limbs_;
  WipeElements(other.limbs_);
  return *this;
}

std::array<uint8_t, kShareBytes> EncodeShare(const Share& share) {
  std::array<uint8_t, kShareBytes> bytes;
  for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
    const uint64_t value = share.limbs()[limb].value();
    std::memcpy(bytes.data() + limb * sizeof(value), &value, sizeof(value));
  }
  return bytes;
}

absl::Status Share::ParseInto(std::span<const uint8_t> bytes, Share& share) {
  if (bytes.size() != kShareBytes) {
    return absl::InvalidArgumentError(fmt::format("share: expected {} bytes, got {}", kShareBytes, bytes.size()));
  }
  std::array<uint64_t, kSecretLimbs> values;
  std::memcpy(values.data(), bytes.data(), sizeof(values));
  for (const uint64_t value : values) {
    RETURN_IF_ERROR(Field61::FromU64(value).status());
  }
  for (size_t limb = 0; limb < kSecretLimbs; ++limb) share.limbs_[limb] = Field61::Reduce(values[limb]);
  return absl::OkStatus();
}

absl::StatusOr<Share> ParseShare(std::span<const uint8_t> bytes) {
  Share share;
  RETURN_IF_ERROR(Share::ParseInto(bytes, share));
  return share;
}

absl::StatusOr<std::vector<Share>> SplitSecret(const Secret32& secret, uint32_t threshold,
                                               std::span<const uint32_t> seats, RandomSource& random) {
  RETURN_IF_ERROR(CheckSeats(seats));
  RETURN_IF_ERROR(CheckThreshold(threshold, seats.size(), "seats"));
  // Coefficients of all limbs, by ascending power; the vector is sized once, so no copy of them stays behind.
  std::vector<Share> coefficients(threshold);
  Share::Limbs limbs = LimbsOf(secret);
  coefficients[0] = Share(limbs);
  for (uint32_t power = 1; power < threshold; ++power) {
    for (Field61& limb : limbs) limb = Field61::Random(random);
    coefficients[power] = Share(limbs);
  }
  std::vector<Share> shares;
  shares.reserve(seats.size());
  for (const uint32_t seat : seats) {
    const Field61 x = Field61::Reduce(PointOf(seat));
    limbs = coefficients.back().limbs();
    for (uint32_t power = threshold - 1; power-- > 0;) {  // Horner
      for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
        limbs[limb] = limbs[limb] * x + coefficients[power].limbs()[limb];
      }
    }
    shares.emplace_back(limbs);
  }
  WipeElements(limbs);
  return shares;
}

absl::StatusOr<Secret32> CombineShares(std::span<const IndexedShare> shares, uint32_t threshold) {
  const std::vector<uint32_t> seats = SeatsOf(shares);
  RETURN_IF_ERROR(CheckSeats(seats));
  RETURN_IF_ERROR(CheckThreshold(threshold, shares.size(), "shares"));
  const SharePolynomials polynomials(shares.first(threshold));
  for (const IndexedShare& other : shares.subspan(threshold)) {
    if (polynomials.AtSeat(other.seat) != other.share.limbs()) {
      return absl::DataLossError("the shares of a secret disagree: at least one is wrong");
    }
  }
  Share::Limbs limbs = polynomials.AtZero();
  absl::StatusOr<Secret32> secret = SecretFromLimbs(limbs);
  WipeElements(limbs);
  return secret;
}

absl::StatusOr<Secret32> SecretFromLimbs(const Share::Limbs& limbs) {
  Secret32 secret;
  const std::span<uint8_t, 32> bytes = secret.mutable_bytes();
  for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
    if (limbs[limb].value() >> LimbBits(limb) != 0) {
      return absl::DataLossError("shares that are not those of any secret: at least one is wrong");
    }
    const size_t bit = limb * kLimbBits;
    const uint64_t value = limbs[limb].value() << (bit % 8);
    for (size_t i = 0; i < 7 && bit / 8 + i < bytes.size(); ++i) {
      bytes[bit / 8 + i] |= static_cast<uint8_t>(value >> (8 * i));
    }
  }
  return secret;
}

}  // namespace fleetune::secagg
