#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "absl/status/statusor.h"
#include "aggregation/secagg/shamir.h"

namespace fleetune::secagg {

// OK if the seats are distinct and below kMaxSeats, else InvalidArgument.
absl::Status CheckSeats(std::span<const uint32_t> seats);

// The seats of shares, in their order.
std::vector<uint32_t> SeatsOf(std::span<const IndexedShare> shares);

// Where a seat's polynomials are evaluated: seat + 1, as the secret is at zero.
inline Field61 PointOf(uint32_t seat) { return Field61::Reduce(uint64_t{seat} + 1); }

// The polynomials of least degree through the shares of some seats, in the barycentric form of Lagrange: the
// work that is quadratic in the number of seats is done once, for all points and all limbs. Immutable, so thread-safe.
class Interpolation {
 public:
  // Requires at least one seat, distinct and below kMaxSeats: CheckSeats.
  explicit Interpolation(std::span<const uint32_t> seats);

  // c such that f(x) = sum of c[i] f(point of seats[i]) for each polynomial f of a degree below the number of seats.
  std::vector<Field61> CoefficientsAt(Field61 x) const;

  size_t size() const { return points_.size(); }

 private:
  std::vector<Field61> points_;
  std::vector<Field61> weights_;  // 1 / product over j != i of (points[i] - points[j])
};

// The sum of coefficient times share, limb by limb. Requires as many of one as of the other; checked.
Share::Limbs WeightedSum(std::span<const Field61> coefficients, std::span<const IndexedShare> shares);

}  // namespace fleetune::secagg
