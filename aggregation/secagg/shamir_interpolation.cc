#include "aggregation/secagg/shamir_interpolation.h"

#include <algorithm>
#include <bitset>

#include "base/check.h"
#include "fmt/format.h"

namespace fleetune::secagg {

absl::Status CheckSeats(std::span<const uint32_t> seats) {
  std::bitset<kMaxSeats> seen;
  for (const uint32_t seat : seats) {
    if (seat >= kMaxSeats) {
      return absl::InvalidArgumentError(fmt::format("shares: expected seats below {}, got {}", kMaxSeats, seat));
    }
    if (seen[seat]) {
      return absl::InvalidArgumentError(fmt::format("shares: expected distinct seats, got seat {} twice", seat));
    }
    seen[seat] = true;
  }
  return absl::OkStatus();
}

std::vector<uint32_t> SeatsOf(std::span<const IndexedShare> shares) {
  std::vector<uint32_t> seats;
  seats.reserve(shares.size());
  for (const IndexedShare& share : shares) seats.push_back(share.seat);
  return seats;
}

Interpolation::Interpolation(std::span<const uint32_t> seats) {
  CHECK(!seats.empty());
  points_.reserve(seats.size());
  for (const uint32_t seat : seats) points_.push_back(PointOf(seat));
  weights_.assign(points_.size(), Field61::Reduce(1));
  for (size_t i = 0; i < points_.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      const Field61 difference = points_[i] - points_[j];
      weights_[i] *= difference;
      weights_[j] *= Field61() - difference;
    }
  }
  InvertAll(weights_);
}

std::vector<Field61> Interpolation::CoefficientsAt(Field61 x) const {
  std::vector<Field61> coefficients(points_.size());
  const auto node = std::ranges::find(points_, x);
  if (node != points_.end()) {
    coefficients[node - points_.begin()] = Field61::Reduce(1);
    return coefficients;
  }
  Field61 product = Field61::Reduce(1);  // over all i of (x - points[i])
  for (size_t i = 0; i < points_.size(); ++i) {
    coefficients[i] = x - points_[i];
    product *= coefficients[i];
  }
  InvertAll(coefficients);
  for (size_t i = 0; i < points_.size(); ++i) coefficients[i] *= product * weights_[i];
  return coefficients;
}

Share::Limbs WeightedSum(std::span<const Field61> coefficients, std::span<const IndexedShare> shares) {
  CHECK(coefficients.size() == shares.size());
  Share::Limbs sum{};
  for (size_t i = 0; i < shares.size(); ++i) {
    const Share::Limbs& limbs = shares[i].share.limbs();
    for (size_t limb = 0; limb < kSecretLimbs; ++limb) sum[limb] += coefficients[i] * limbs[limb];
  }
  return sum;
}

}  // namespace fleetune::secagg
