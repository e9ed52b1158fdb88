#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/status.h"
#include "aggregation/secagg/shamir.h"

namespace fleetune::secagg {

// OK if the seats are distinct and below kMaxSeats, else InvalidArgument.
absl::Status CheckSeats(std::span<const uint32_t> seats);

// The seats of shares, in their order.
std::vector<uint32_t> SeatsOf(std::span<const IndexedShare> shares);

// Where a seat's polynomials are evaluated: seat + 1, as the secret is at zero.
inline uint32_t PointOf(uint32_t seat) { return seat + 1; }

// The polynomials of least degree through some shares, one a limb, in the barycentric form of Lagrange (Berrut and
// Trefethen 2004): the work that is quadratic in the number of shares is done once for all points and limbs, and what
// is left is one product a share and limb. That points are small numbers makes both cheap: five differences multiply
// in a word, and inverses of differences come from a table. Immutable, so thread-safe; wiped when destroyed.
class SharePolynomials {
 public:
  // Requires at least one share, of distinct seats below kMaxSeats: CheckSeats.
  explicit SharePolynomials(std::span<const IndexedShare> shares);

  // The limbs of the secret. The caller wipes them.
  Share::Limbs AtZero() const { return At(0); }
  // Those of the share of another seat. Requires one below kMaxSeats of which there is no share here; checked.
  Share::Limbs AtSeat(uint32_t seat) const;

 private:
  Share::Limbs At(uint32_t x) const;

  std::vector<uint32_t> points_;
  std::vector<Share> weighted_;  // share i over the product of (points_[i] - points_[j]) for j != i
};

}  // namespace fleetune::secagg
