#include "aggregation/privacy/gaussian_rdp.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace fleetune {
namespace {

constexpr double kMinusInfinity = -std::numeric_limits<double>::infinity();
// The terms past the order alternate and fall, so that what is left is below the last one.
constexpr double kSmallestLogTerm = -32;
constexpr int kMaxTerms = 1'000'000;

double LogAdd(double a, double b) {
  if (a < b) std::swap(a, b);
  return b == kMinusInfinity ? a : a + std::log1p(std::exp(b - a));
}

// ln(e^a - e^b) for a > b; minus infinity where rounding left nothing.
double LogSubtract(double a, double b) {
  if (b == kMinusInfinity) return a;
  return a > b ? a + std::log(-std::expm1(b - a)) : kMinusInfinity;
}

// ln(erfc(x)), also where erfc underflows.
double LogErfc(double x) {
  if (x < 20) return std::log(std::erfc(x));
  const double y = 1 / (2 * x * x);  // the asymptotic series; at 20 its fifth term is 1e-13
  return -x * x - std::log(x) - 0.5 * std::log(std::numbers::pi) +
         std::log1p(-y * (1 - 3 * y * (1 - 5 * y * (1 - 7 * y))));
}

// ln of the order-th moment of the likelihood ratio, at a whole order: a binomial sum of positive terms.
double LogMomentWhole(double q, double sigma, double order) {
  double sum = kMinusInfinity;
  double log_binomial = 0;
  for (double i = 0; i <= order; ++i) {
    const double log_term = log_binomial + i * std::log(q) + (order - i) * std::log1p(-q);
    sum = LogAdd(sum, log_term + (i * i - i) / (2 * sigma * sigma));
    log_binomial += std::log((order - i) / (i + 1));
  }
  return sum;
}

// A sum of terms of both signs, by logarithms.
class SignedLogSum {
 public:
  void Add(double log_term, bool negative) {
    double& side = negative ? negative_ : positive_;
    side = LogAdd(side, log_term);
  }
  double Log() const { return LogSubtract(positive_, negative_); }

 private:
  double positive_ = kMinusInfinity;
  double negative_ = kMinusInfinity;
};

// The same at any order: the integral is cut at z0, where the two halves of the mixture weigh alike, and each side
// is expanded by the binomial series that converges there.
double LogMomentFractional(double q, double sigma, double order) {
  const double z0 = sigma * sigma * std::log(1 / q - 1) + 0.5;
  const double root = std::numbers::sqrt2 * sigma;
  SignedLogSum below, above;
  double log_binomial = 0;  // of |order over i|
  bool negative = false;
  for (int term = 0; term < kMaxTerms; ++term) {
    const double i = term;
    const double j = order - i;
    const double gauss_below = (i * i - i) / (2 * sigma * sigma) + std::log(0.5) + LogErfc((i - z0) / root);
    const double gauss_above = (j * j - j) / (2 * sigma * sigma) + std::log(0.5) + LogErfc((z0 - j) / root);
    const double term_below = log_binomial + i * std::log(q) + j * std::log1p(-q) + gauss_below;
    const double term_above = log_binomial + j * std::log(q) + i * std::log1p(-q) + gauss_above;
    below.Add(term_below, negative);
    above.Add(term_above, negative);
    if (i > order && std::max(term_below, term_above) < kSmallestLogTerm) break;
    if (j < 0) negative = !negative;
    log_binomial += std::log(std::abs(j) / (i + 1));
  }
  return LogAdd(below.Log(), above.Log());
}

double RdpAtOrder(const SampledGaussian& gaussian, double order) {
  const double q = gaussian.sampling_rate;
  const double sigma = gaussian.noise_multiplier;
  if (q == 0) return 0;
  if (q == 1) return order / (2 * sigma * sigma);
  const bool whole = order == std::floor(order);
  const double log_moment = whole ? LogMomentWhole(q, sigma, order) : LogMomentFractional(q, sigma, order);
  if (std::isnan(log_moment)) return std::numeric_limits<double>::infinity();
  return std::max(log_moment, 0.0) / (order - 1);
}

}  // namespace

absl::StatusOr<RdpCurve> GaussianRdp(const SampledGaussian& gaussian, std::span<const double> orders) {
  if (!(gaussian.noise_multiplier > 0 && std::isfinite(gaussian.noise_multiplier))) {
    return absl::InvalidArgumentError(fmt::format("noise_multiplier is {}, not above 0", gaussian.noise_multiplier));
  }
  if (!(gaussian.sampling_rate >= 0 && gaussian.sampling_rate <= 1)) {
    return absl::InvalidArgumentError(fmt::format("sampling_rate is {}, not in [0, 1]", gaussian.sampling_rate));
  }
  RdpCurve curve = NothingSpent(orders);
  for (size_t i = 0; i < orders.size(); ++i) {
    if (!(orders[i] > 1 && std::isfinite(orders[i]))) {
      return absl::InvalidArgumentError(fmt::format("an order is {}, not above 1", orders[i]));
    }
    curve.values[i] = RdpAtOrder(gaussian, orders[i]);
  }
  return curve;
}

}  // namespace fleetune
