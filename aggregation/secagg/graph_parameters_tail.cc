#include "aggregation/secagg/graph_parameters_tail.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace fleetune::secagg {
namespace {

// Terms of a tail that add less than this part of it are left out: those that follow are smaller still.
constexpr double kNegligible = 0x1p-60;
// 2^exponent is a normal double from here on.
constexpr int64_t kMinExponent = -1000;

}  // namespace

HypergeometricTail::HypergeometricTail(uint32_t max_population) : factorials_(max_population + 1) {
  for (uint32_t i = 1; i <= max_population; ++i) {
    int shift = 0;
    factorials_[i].mantissa = std::frexp(factorials_[i - 1].mantissa * i, &shift);  // exact but for the product
    factorials_[i].exponent = factorials_[i - 1].exponent + shift;
  }
}

double HypergeometricTail::AtLeast(int64_t x, uint32_t population, uint32_t marked, uint32_t drawn) const {
  CHECK(population < factorials_.size() && marked <= population && drawn <= population);
  if (x <= 0 || x * population <= int64_t{marked} * drawn) return 1;
  if (x > std::min(marked, drawn)) return 0;
  double term = Exactly(static_cast<uint32_t>(x), population, marked, drawn);
  double sum = 0;
  for (int64_t i = x; term > sum * kNegligible; ++i) {  // the last term is 0
    sum += term;
    term *= static_cast<double>((marked - i) * (drawn - i)) /
            static_cast<double>((i + 1) * (int64_t{population} - marked - drawn + i + 1));
  }
  return std::min(sum, 1.0);
}

// C(marked, x) C(population - marked, drawn - x) / C(population, drawn). Above the mean, x is at least
// drawn + marked - population, so every factorial is of a number that is not negative.
double HypergeometricTail::Exactly(uint32_t x, uint32_t population, uint32_t marked, uint32_t drawn) const {
  const uint32_t above[] = {marked, population - marked, drawn, population - drawn};
  const uint32_t below[] = {population, x, marked - x, drawn - x, population - marked - drawn + x};
  // Mantissas are at least 1/2, so nine of them neither overflow nor underflow.
  double mantissa = 1;
  int64_t exponent = 0;
  for (const uint32_t i : above) {
    mantissa *= factorials_[i].mantissa;
    exponent += factorials_[i].exponent;
  }
  for (const uint32_t i : below) {
    mantissa /= factorials_[i].mantissa;
    exponent -= factorials_[i].exponent;
  }
  return exponent < kMinExponent ? 0 : std::ldexp(mantissa, static_cast<int>(exponent));
}

}  // namespace fleetune::secagg
