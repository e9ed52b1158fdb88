#include "aggregation/secagg/error_correction.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "aggregation/secagg/error_correction_polynomial.h"
#include "aggregation/secagg/share_polynomials.h"
#include "base/status_macros.h"
#include "fmt/format.h"

namespace fleetune::secagg {
namespace {

absl::Status CheckShares(std::span<const IndexedShare> shares, uint32_t threshold) {
  RETURN_IF_ERROR(CheckSeats(SeatsOf(shares)));
  if (threshold < kMinThreshold || threshold > shares.size()) {
    return absl::InvalidArgumentError(
        fmt::format("shares: expected a threshold of {} to the number of shares, {}, got {}", kMinThreshold,
                    shares.size(), threshold));
  }
  return absl::OkStatus();
}

absl::Status TooManyWrong(size_t shares, uint32_t threshold) {
  return absl::DataLossError(
      fmt::format("{} shares under a threshold of {}: expected at most {} wrong ones, found more", shares, threshold,
                  CorrectableShares(shares, threshold)));
}

// The polynomials of degree below `threshold` through the first shares of a set.
class FirstShares {
 public:
  FirstShares(std::span<const IndexedShare> shares, uint32_t threshold)
      : polynomials_(shares.first(threshold)), rest_(shares.subspan(threshold)) {}

  absl::StatusOr<Secret32> Secret() const {
    Share::Limbs limbs = polynomials_.AtZero();
    absl::StatusOr<Secret32> secret = SecretFromLimbs(limbs);
    WipeElements(limbs);
    return secret;
  }

  // Seats of other shares that do not lie on the polynomials, ascending.
  std::vector<uint32_t> SeatsOff() const {
    std::vector<uint32_t> seats;
    for (const IndexedShare& share : rest_) {
      if (polynomials_.AtSeat(share.seat) != share.share.limbs()) seats.push_back(share.seat);
    }
    std::ranges::sort(seats);
    return seats;
  }

  // The first limb in which a share is off the polynomials.
  std::optional<size_t> LimbOff() const {
    for (const IndexedShare& share : rest_) {
      const Share::Limbs expected = polynomials_.AtSeat(share.seat);
      const auto [limb, end] = std::ranges::mismatch(expected, share.share.limbs());
      if (limb != expected.end()) return limb - expected.begin();
    }
    return std::nullopt;
  }

 private:
  SharePolynomials polynomials_;
  std::span<const IndexedShare> rest_;
};

// Moves the seats whose share is wrong in `limb` from `shares` to `liars`. False if they cannot be told.
bool RemoveWrong(size_t limb, uint32_t threshold, std::vector<IndexedShare>& shares, std::vector<uint32_t>& liars) {
  std::vector<Field61> points;
  std::vector<Field61> values;
  for (const IndexedShare& share : shares) {
    points.push_back(Field61::Reduce(PointOf(share.seat)));
    values.push_back(share.share.limbs()[limb]);
  }
  std::optional<Polynomial> polynomial = DecodeReedSolomon(points, values, threshold);
  WipeElements(values);
  if (!polynomial.has_value()) return false;
  std::erase_if(shares, [&](const IndexedShare& share) {
    const bool wrong = Evaluate(*polynomial, Field61::Reduce(PointOf(share.seat))) != share.share.limbs()[limb];
    if (wrong) liars.push_back(share.seat);
    return wrong;
  });
  WipeElements(*polynomial);
  return true;
}

absl::StatusOr<CorrectedSecret> Decode(std::span<const IndexedShare> shares, uint32_t threshold) {
  const size_t correctable = CorrectableShares(shares.size(), threshold);
  std::vector<IndexedShare> left(shares.begin(), shares.end());
  std::vector<uint32_t> liars;
  // Whoever is found in one limb is left out of the others, so most often one limb is decoded. Leaving out a wrong
  // share lowers m by one and the number of wrong ones by one: what could be corrected still can.
  for (;;) {
    const FirstShares polynomials(left, threshold);
    const std::optional<size_t> limb = polynomials.LimbOff();
    if (!limb.has_value()) {
      ASSIGN_OR_RETURN(Secret32 secret, polynomials.Secret());
      std::ranges::sort(liars);
      return CorrectedSecret{.secret = std::move(secret), .liars = std::move(liars)};
    }
    if (!RemoveWrong(*limb, threshold, left, liars) || liars.size() > correctable) {
      return TooManyWrong(shares.size(), threshold);
    }
  }
}

}  // namespace

absl::StatusOr<CorrectedSecret> DecodeShares(std::span<const IndexedShare> shares, uint32_t threshold) {
  RETURN_IF_ERROR(CheckShares(shares, threshold));
  return Decode(shares, threshold);
}

absl::StatusOr<CorrectedSecret> RecoverSecret(std::span<const IndexedShare> shares, uint32_t threshold,
                                              absl::FunctionRef<bool(const Secret32&)> accept) {
  RETURN_IF_ERROR(CheckShares(shares, threshold));
  const FirstShares polynomials(shares, threshold);
  absl::StatusOr<Secret32> secret = polynomials.Secret();
  const bool accepted = secret.ok() && accept(*secret);
  if (accepted) {
    std::vector<uint32_t> off = polynomials.SeatsOff();
    if (off.size() <= CorrectableShares(shares.size(), threshold)) {
      return CorrectedSecret{.secret = *std::move(secret), .liars = std::move(off)};
    }
    // Liars among the first, whose errors cancel each other out in the secret, would put the blame on the others.
  }
  absl::StatusOr<CorrectedSecret> decoded = Decode(shares, threshold);
  if (decoded.ok() && accept(decoded->secret)) return decoded;
  if (accepted) return CorrectedSecret{.secret = *std::move(secret), .liars = {}};
  return TooManyWrong(shares.size(), threshold);
}

}  // namespace fleetune::secagg
