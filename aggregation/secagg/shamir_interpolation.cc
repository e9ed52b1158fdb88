#include "aggregation/secagg/shamir_interpolation.h"

#include <algorithm>
#include <array>
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
  weights_.reserve(points_.size());
  for (size_t i = 0; i < points_.size(); ++i) {
    // Four products side by side: a processor need not wait for the one before.
    std::array<Field61, 4> products;
    products.fill(Field61::Reduce(1));
    for (size_t j = 0; j < points_.size(); ++j) {
      if (j != i) products[j % 4] *= points_[i] - points_[j];
    }
    weights_.push_back((products[0] * products[1]) * (products[2] * products[3]));
  }
  InvertAll(weights_);
}

std::vector<Field61> Interpolation::CoefficientsAt(Field61 x) const {
  // Coefficient i is weight i times (x - points[j]) for all j below i, which the loop has met from the front, and for
  // all j above, which it has met from the back.
  std::vector<Field61> coefficients = weights_;
  Field61 below = Field61::Reduce(1);
  Field61 above = Field61::Reduce(1);
  for (size_t front = 0, back = points_.size(); front < points_.size(); ++front) {
    coefficients[front] *= below;
    below *= x - points_[front];
    coefficients[--back] *= above;
    above *= x - points_[back];
  }
  return coefficients;
}

Share::Limbs WeightedSum(std::span<const Field61> coefficients, std::span<const IndexedShare> shares) {
  CHECK(coefficients.size() == shares.size());
  constexpr size_t kProductsAtOnce = 32;  // of 122 bits each
  Share::Limbs sum{};
  for (size_t first = 0; first < shares.size(); first += kProductsAtOnce) {
    const size_t end = std::min(first + kProductsAtOnce, shares.size());
    std::array<unsigned __int128, kSecretLimbs> part{};
    for (size_t i = first; i < end; ++i) {
      const Share::Limbs& limbs = shares[i].share.limbs();
      for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
        part[limb] += static_cast<unsigned __int128>(coefficients[i].value()) * limbs[limb].value();
      }
    }
    for (size_t limb = 0; limb < kSecretLimbs; ++limb) sum[limb] += Field61::ReduceWide(part[limb]);
  }
  return sum;
}

}  // namespace fleetune::secagg
