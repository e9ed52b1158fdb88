#include "aggregation/secagg/share_polynomials.h"

#include <algorithm>
#include <array>
#include <bitset>

#include "base/check.h"
#include "fmt/format.h"

namespace fleetune::secagg {

namespace {

// Differences of points, and points themselves.
constexpr uint32_t kMaxDifference = kMaxSeats;

// 1 / i for each i from 1: with p = q i + r, 1 / i is -q / r.
constexpr std::array<Field61, kMaxDifference + 1> Inverses() {
  std::array<Field61, kMaxDifference + 1> inverses;
  inverses[1] = Field61::Reduce(1);
  for (uint64_t i = 2; i < inverses.size(); ++i) {
    inverses[i] = Field61() - Field61::Reduce(Field61::kPrime / i) * inverses[Field61::kPrime % i];
  }
  return inverses;
}
constexpr std::array<Field61, kMaxDifference + 1> kInverses = Inverses();

// 1 / (x - y). Requires that they differ; checked.
Field61 InverseOfDifference(uint32_t x, uint32_t y) {
  CHECK(x != y);
  return x > y ? kInverses[x - y] : Field61() - kInverses[y - x];
}

// The product of x - y for all y of `points` that are not x itself.
Field61 ProductOfDifferences(uint32_t x, std::span<const uint32_t> points) {
  constexpr size_t kFactorsAtOnce = 5;
  static_assert(uint64_t{kMaxDifference} * kMaxDifference * kMaxDifference * kMaxDifference * kMaxDifference <
                Field61::kPrime);
  // Two products side by side: a processor need not wait for the one before.
  std::array<Field61, 2> products{Field61::Reduce(1), Field61::Reduce(1)};
  uint32_t negative = 0;
  for (size_t first = 0, turn = 0; first < points.size(); first += kFactorsAtOnce, turn ^= 1) {
    uint64_t product = 1;
    for (const uint32_t y : points.subspan(first, std::min(kFactorsAtOnce, points.size() - first))) {
      negative += y > x ? 1 : 0;
      const uint32_t difference = y > x ? y - x : x - y;
      product *= difference == 0 ? 1 : difference;
    }
    products[turn] *= Field61::Reduce(product);
  }
  const Field61 product = products[0] * products[1];
  return negative % 2 == 0 ? product : Field61() - product;
}

}  // namespace

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

SharePolynomials::SharePolynomials(std::span<const IndexedShare> shares) {
  CHECK(!shares.empty());
  points_.reserve(shares.size());
  for (const IndexedShare& share : shares) points_.push_back(PointOf(share.seat));
  std::vector<Field61> weights;
  weights.reserve(points_.size());
  for (const uint32_t point : points_) weights.push_back(ProductOfDifferences(point, points_));
  InvertAll(weights);
  weighted_.reserve(points_.size());
  for (size_t i = 0; i < points_.size(); ++i) {
    Share::Limbs limbs = shares[i].share.limbs();
    for (Field61& limb : limbs) limb *= weights[i];
    weighted_.emplace_back(limbs);
    WipeElements(limbs);
  }
}

Share::Limbs SharePolynomials::AtSeat(uint32_t seat) const {
  CHECK(seat < kMaxSeats);
  return At(PointOf(seat));
}

Share::Limbs SharePolynomials::At(uint32_t x) const {
  constexpr size_t kProductsAtOnce = 32;  // of 122 bits each
  Share::Limbs sum{};
  for (size_t first = 0; first < points_.size(); first += kProductsAtOnce) {
    const size_t end = std::min(first + kProductsAtOnce, points_.size());
    std::array<unsigned __int128, kSecretLimbs> part{};
    for (size_t i = first; i < end; ++i) {
      const Field61 inverse = InverseOfDifference(x, points_[i]);
      const Share::Limbs& limbs = weighted_[i].limbs();
      for (size_t limb = 0; limb < kSecretLimbs; ++limb) {
        part[limb] += static_cast<unsigned __int128>(inverse.value()) * limbs[limb].value();
      }
    }
    for (size_t limb = 0; limb < kSecretLimbs; ++limb) sum[limb] += Field61::ReduceWide(part[limb]);
  }
  const Field61 all = ProductOfDifferences(x, points_);
  for (Field61& limb : sum) limb *= all;
  return sum;
}

}  // namespace fleetune::secagg
