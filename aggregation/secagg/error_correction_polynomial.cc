#include "aggregation/secagg/error_correction_polynomial.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace fleetune::secagg {
namespace {

void Trim(Polynomial& polynomial) {
  while (!polynomial.empty() && polynomial.back() == Field61()) polynomial.pop_back();
}

// Replaces `dividend` by its remainder and returns the quotient. Requires a divisor other than zero.
Polynomial Divide(Polynomial& dividend, const Polynomial& divisor) {
  if (dividend.size() < divisor.size()) return {};
  Polynomial quotient(dividend.size() - divisor.size() + 1);
  const Field61 inverse = divisor.back().Inverse();
  for (size_t shift = quotient.size(); shift-- > 0;) {
    const Field61 factor = dividend[shift + divisor.size() - 1] * inverse;
    quotient[shift] = factor;
    for (size_t i = 0; i < divisor.size(); ++i) dividend[shift + i] -= factor * divisor[i];
  }
  Trim(dividend);
  return quotient;
}

// minuend -= a * b.
void SubtractProduct(Polynomial& minuend, const Polynomial& a, const Polynomial& b) {
  if (a.empty() || b.empty()) return;
  minuend.resize(std::max(minuend.size(), a.size() + b.size() - 1));
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t j = 0; j < b.size(); ++j) minuend[i + j] -= a[i] * b[j];
  }
  Trim(minuend);
}

// Multiplies by (x - root).
void MultiplyByRoot(Polynomial& polynomial, Field61 root) {
  polynomial.push_back(Field61());
  for (size_t i = polynomial.size() - 1; i > 0; --i) polynomial[i] = polynomial[i - 1] - root * polynomial[i];
  polynomial[0] = Field61() - root * polynomial[0];
}

}  // namespace

Field61 Evaluate(std::span<const Field61> polynomial, Field61 x) {
  Field61 value;
  for (size_t i = polynomial.size(); i-- > 0;) value = value * x + polynomial[i];
  return value;
}

Polynomial FromRoots(std::span<const Field61> points) {
  Polynomial product = {Field61::Reduce(1)};
  product.reserve(points.size() + 1);
  for (const Field61 point : points) MultiplyByRoot(product, point);
  return product;
}

Polynomial Interpolate(std::span<const Field61> points, std::span<const Field61> values) {
  CHECK(points.size() == values.size());
  Polynomial result;
  Polynomial roots = {Field61::Reduce(1)};  // the product of (x - point) over the points so far
  result.resize(points.size());
  // Newton's coefficient i makes point i right and leaves those before it alone. The divisors are inverted
  // together: they are the values of the products at the next point.
  std::vector<Field61> divisors(points.size());
  for (size_t i = 0; i < points.size(); ++i) {
    divisors[i] = Field61::Reduce(1);
    for (size_t j = 0; j < i; ++j) divisors[i] *= points[i] - points[j];
  }
  InvertAll(divisors);
  for (size_t i = 0; i < points.size(); ++i) {
    const Field61 coefficient = (values[i] - Evaluate(std::span(result).first(i), points[i])) * divisors[i];
    for (size_t j = 0; j < roots.size(); ++j) result[j] += coefficient * roots[j];
    MultiplyByRoot(roots, points[i]);
  }
  Trim(result);
  return result;
}

std::optional<Polynomial> DecodeReedSolomon(std::span<const Field61> points, std::span<const Field61> values,
                                            size_t dimension) {
  CHECK(dimension >= 1 && dimension <= points.size());
  Polynomial before = FromRoots(points);
  Polynomial remainder = Interpolate(points, values);
  Polynomial multiplier_before;
  Polynomial multiplier = {Field61::Reduce(1)};
  // Until the degree is below (m + dimension) / 2; `size` is the degree plus 1.
  while (!remainder.empty() && 2 * (remainder.size() - 1) >= points.size() + dimension) {
    const Polynomial quotient = Divide(before, remainder);
    std::swap(before, remainder);
    SubtractProduct(multiplier_before, quotient, multiplier);
    std::swap(multiplier_before, multiplier);
  }
  Polynomial answer = Divide(remainder, multiplier);
  if (!remainder.empty() || answer.size() > dimension) return std::nullopt;
  size_t wrong = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    if (Evaluate(answer, points[i]) != values[i]) ++wrong;
  }
  if (wrong > (points.size() - dimension) / 2) return std::nullopt;
  return answer;
}

}  // namespace fleetune::secagg
