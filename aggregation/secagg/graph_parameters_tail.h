#pragma once

#include <cstdint>
#include <vector>

namespace fleetune::secagg {

// Tails of the hypergeometric distribution for populations of up to `max_population`. Uses nothing but operations that
// IEEE 754 fixes to the bit (products of factorials with their exponents apart), so that all machines agree.
// Immutable, so thread-safe.
class HypergeometricTail {
 public:
  explicit HypergeometricTail(uint32_t max_population);

  // P[X >= x] for X marked ones among `drawn` out of `population`, `marked` of which are marked: with a relative error
  // below 1e-11 where x is above the mean, and 1, an upper bound, elsewhere. Below 1e-300 it may be 0.
  // Requires marked, drawn <= population <= max_population; checked.
  double AtLeast(int64_t x, uint32_t population, uint32_t marked, uint32_t drawn) const;

 private:
  // mantissa * 2^exponent, the mantissa in [0.5, 1).
  struct Scaled {
    double mantissa = 0.5;
    int64_t exponent = 1;
  };

  double Exactly(uint32_t x, uint32_t population, uint32_t marked, uint32_t drawn) const;

  std::vector<Scaled> factorials_;
};

}  // namespace fleetune::secagg
