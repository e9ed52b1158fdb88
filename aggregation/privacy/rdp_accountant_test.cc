#include "aggregation/privacy/rdp_accountant.h"

#include <cmath>
#include <limits>

#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;

std::vector<double> Range(double first, double last, double step) {
  std::vector<double> orders;
  for (int i = 0; first + i * step <= last; ++i) orders.push_back(first + i * step);
  return orders;
}

TEST(RdpAccountantTest, PublishedSubsampledGaussians) {
  struct Case {
    double sigma, q;
    uint64_t steps;
    double delta, epsilon, order;
  };
  const Case cases[] = {
      {1.5, 0.04, 2250, 1e-5, 7.32911117143, 3.9},
      {1.3, 150.0 / 60000, 6000, 1e-5, 0.7242234026, 19},    // 15 epochs
      {1.0, 100.0 / 100000, 30000, 1e-7, 1.4154988495, 13},  // 30 epochs
  };
  for (const Case& c : cases) {
    const auto spent = EpsilonOfGaussian({.noise_multiplier = c.sigma, .sampling_rate = c.q}, c.steps, c.delta);
    ASSERT_THAT(spent, IsOk());
    EXPECT_NEAR(spent->epsilon, c.epsilon, 1e-10);
    EXPECT_DOUBLE_EQ(spent->order, c.order);
  }
}

TEST(RdpAccountantTest, PublishedCalibration) {
  const GaussianBudget budget = {.epsilon = 8, .delta = 1e-5, .sampling_rate = 0.04, .releases = 2000};
  const auto sigma = NoiseMultiplierFor(budget);
  ASSERT_THAT(sigma, IsOk());
  EXPECT_NEAR(*sigma, 1.3562, 1e-4);
  const auto spent = EpsilonOfGaussian({.noise_multiplier = *sigma, .sampling_rate = 0.04}, 2000, 1e-5);
  EXPECT_LE(spent->epsilon, 8);
}

TEST(RdpAccountantTest, PublishedGaussianOfEpsilonOne) {
  // The noise was chosen over orders in steps of 0.001; the standard orders come within 3e-7.
  const auto fine = EpsilonOfGaussian({.noise_multiplier = 4.530877117}, 1, 1e-6, Range(1.001, 100, 0.001));
  EXPECT_NEAR(fine->epsilon, 1, 1e-9);
  const auto standard = EpsilonOfGaussian({.noise_multiplier = 4.530877117}, 1, 1e-6);
  EXPECT_NEAR(standard->epsilon, 1, 3e-7);
  EXPECT_GE(standard->epsilon, fine->epsilon);
}

TEST(RdpAccountantTest, PublishedConstantCurve) {
  RdpCurve curve = NothingSpent(Range(2, 32, 1));
  for (double& value : curve.values) value = 1.1;
  const auto spent = EpsilonAt(curve, 1e-5);
  EXPECT_NEAR(spent->epsilon, 1.32783806176, 1e-11);
  EXPECT_EQ(spent->order, 32);
  EXPECT_NEAR(*DeltaAt(curve, 1.32783806176), 1e-5, 1e-14);
}

TEST(GaussianRdpTest, WholeAndFractionalOrdersMeet) {
  // (order - 1) * value is convex in the order, so between two near orders it is nearly a line.
  for (const SampledGaussian& gaussian :
       {SampledGaussian{1.1, 0.01}, SampledGaussian{2.0, 0.3}, SampledGaussian{0.7, 0.5}, SampledGaussian{1.0, 0.9}}) {
    for (const double whole : {2.0, 3.0, 8.0}) {
      const double orders[] = {whole - 1e-4, whole, whole + 1e-4};
      const auto curve = GaussianRdp(gaussian, orders);
      ASSERT_THAT(curve, IsOk());
      const double middle = (curve->values[0] + curve->values[2]) / 2;
      EXPECT_NEAR(curve->values[1], middle, 1e-7 * std::max(1.0, middle)) << gaussian.sampling_rate << " " << whole;
    }
  }
}

TEST(GaussianRdpTest, GrowsWithOrderAndRateAndStaysBelowNoSampling) {
  double before_rate = 0;
  for (const double q : {1e-4, 1e-2, 0.3, 0.99, 1.0}) {
    const auto curve = GaussianRdp({.noise_multiplier = 1.2, .sampling_rate = q});
    ASSERT_THAT(curve, IsOk());
    for (size_t i = 0; i < curve->orders.size(); ++i) {
      if (i > 0) {
        EXPECT_GE(curve->values[i], curve->values[i - 1] - 1e-10) << q << " " << curve->orders[i];
      }
      EXPECT_LE(curve->values[i], curve->orders[i] / (2 * 1.2 * 1.2) + 1e-9);
    }
    EXPECT_GT(curve->values[50], before_rate);
    before_rate = curve->values[50];
  }
  const auto none = GaussianRdp({.noise_multiplier = 1.2, .sampling_rate = 0});
  EXPECT_EQ(none->values[0], 0);
}

// The example: d = 2^20, z = 1, one round, delta = 1e-6. The scales are those of a ring of 16 and of 20 bits
// for 1024 devices at 4 standard deviations (privacy_parameters_test.cc derives them).
TEST(SkellamRdpTest, ApproachesTheGaussianAsTheScaleGrows) {
  EXPECT_NEAR(EpsilonOfGaussian({.noise_multiplier = 1}, 1, 1e-6)->epsilon, 5.222, 5e-4);
  struct Case {
    double scale, epsilon;
  };
  for (const Case& c : {Case{5792.6077, 5.246430}, Case{92681.8993, 5.222553}}) {
    const SkellamRelease release = {.sensitivity = RoundedSensitivity(c.scale, 1 << 20), .variance = c.scale * c.scale};
    const auto spent = EpsilonOfSkellam(release, 1, 1e-6);
    ASSERT_THAT(spent, IsOk());
    EXPECT_NEAR(spent->epsilon, c.epsilon, 1e-6);
    EXPECT_EQ(spent->order, 6);
  }
}

TEST(SkellamRdpTest, BoundsTheTrueDivergenceOfOneInteger) {
  // One integer moved by 2 under noise of variance 40: sum of P[k]^a Q[k]^(1-a), by the definition of P.
  constexpr double kVariance = 40;
  const auto probability = [](int k) {
    double sum = 0;
    for (int n = 0; n < 140; ++n) {
      sum += std::exp(-kVariance + (2 * n + std::abs(k)) * std::log(kVariance / 2) - std::lgamma(n + 1.0) -
                      std::lgamma(n + std::abs(k) + 1.0));
    }
    return sum;
  };
  const SkellamRelease release = {.sensitivity = {.l2 = 2, .l1 = 2}, .variance = kVariance};
  const auto curve = SkellamRdp(release);
  for (size_t i = 0; i < curve->orders.size() && curve->orders[i] <= 10; ++i) {
    const double order = curve->orders[i];
    double moment = 0;
    for (int k = -60; k <= 60; ++k) moment += std::pow(probability(k), order) * std::pow(probability(k - 2), 1 - order);
    const double truth = std::log(moment) / (order - 1);
    EXPECT_GE(curve->values[i], truth) << order;
    // Tight at whole orders.
    if (order == std::floor(order)) {
      EXPECT_LT(curve->values[i], 1.1 * truth) << order;
    }
  }
}

TEST(SkellamRdpTest, SensitivityOfRoundedVectors) {
  // Few values: the triangle inequality is the better bound; many: the one with retries.
  EXPECT_DOUBLE_EQ(RoundedSensitivity(0, 1).l2, std::min(1.0, std::sqrt(0.75)));
  EXPECT_DOUBLE_EQ(RoundedSensitivity(100, 1 << 20).l2, std::sqrt(10000 + (1 << 18) + 100 + 512.0));
  EXPECT_DOUBLE_EQ(RoundedSensitivity(1e6, 4).l2, std::sqrt(1e12 + 1 + 1e6 + 1));
  EXPECT_DOUBLE_EQ(RoundedSensitivity(1e6, 4).l1, 2 * RoundedSensitivity(1e6, 4).l2);
  const IntegerSensitivity small = RoundedSensitivity(1, 1 << 20);
  EXPECT_DOUBLE_EQ(small.l1, std::min(1024 * small.l2, small.l2 * small.l2));
}

TEST(SkellamRdpTest, SamplingAmplifiesForOutsidersOnly) {
  SkellamRelease release = {.sensitivity = RoundedSensitivity(5000, 1 << 20), .variance = 2.5e7, .sampling_rate = 0.01};
  const auto inside = SkellamRdp(release);
  const auto outside = AmplifiedSkellamRdp(release);
  ASSERT_THAT(outside, IsOk());
  // At order 2 the sum has one term: ln(1 + q^2 (e^r - 1)) by the theorem, nearly q^2 (e^r - 1).
  const double r = inside->values[9];
  ASSERT_EQ(inside->orders[9], 2.0);
  EXPECT_NEAR(outside->values[9], std::log1p(1e-4 * std::expm1(r)), 1e-12);
  EXPECT_LT(EpsilonAt(*outside, 1e-6)->epsilon, 0.5 * EpsilonAt(*inside, 1e-6)->epsilon);
  // A general bound: above the exact figure of the Gaussian of nearly the same noise, and not by much.
  const auto gaussian = GaussianRdp({.noise_multiplier = 1, .sampling_rate = 0.01});
  EXPECT_GT(outside->values[19], gaussian->values[19]);
  EXPECT_LT(outside->values[19], 4 * gaussian->values[19]);

  release.sampling_rate = 1;
  EXPECT_EQ(AmplifiedSkellamRdp(release)->values, inside->values);
  release.sampling_rate = 0;
  EXPECT_EQ(AmplifiedSkellamRdp(release)->values, NothingSpent().values);
}

TEST(RdpAccountantTest, NonsenseIsRefusedByName) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THAT(GaussianRdp({.noise_multiplier = 0}), HasStatus(StatusCode::kInvalidArgument, "noise_multiplier"));
  EXPECT_THAT(GaussianRdp({.noise_multiplier = nan}), HasStatus(StatusCode::kInvalidArgument, "noise_multiplier"));
  EXPECT_THAT(GaussianRdp({.sampling_rate = 1.01}), HasStatus(StatusCode::kInvalidArgument, "sampling_rate"));
  const double one[] = {1.0};
  EXPECT_THAT(GaussianRdp({}, one), HasStatus(StatusCode::kInvalidArgument, "order"));
  EXPECT_THAT(EpsilonOfGaussian({}, 1, 0), HasStatus(StatusCode::kInvalidArgument, "delta"));
  EXPECT_THAT(EpsilonOfGaussian({}, 1, 1), HasStatus(StatusCode::kInvalidArgument, "delta"));
  EXPECT_THAT(EpsilonAt({.orders = {2}, .values = {}}, 0.1), HasStatus(StatusCode::kInvalidArgument, "curve"));
  EXPECT_THAT(EpsilonAt({.orders = {2}, .values = {nan}}, 0.1), HasStatus(StatusCode::kInvalidArgument, "value"));
  EXPECT_THAT(DeltaAt(NothingSpent(), -1), HasStatus(StatusCode::kInvalidArgument, "epsilon"));
  const SkellamRelease good = {.sensitivity = {1, 1}, .variance = 4};
  EXPECT_THAT(SkellamRdp(good), IsOk());
  EXPECT_THAT(SkellamRdp(good, one), HasStatus(StatusCode::kInvalidArgument, "order"));
  EXPECT_THAT(SkellamRdp({.sensitivity = {nan, 1}, .variance = 4}), HasStatus(StatusCode::kInvalidArgument, "l2"));
  EXPECT_THAT(SkellamRdp({.sensitivity = {1, -1}, .variance = 4}), HasStatus(StatusCode::kInvalidArgument, "l1"));
  EXPECT_THAT(SkellamRdp({.sensitivity = {1, 1}}), HasStatus(StatusCode::kInvalidArgument, "variance"));
  EXPECT_THAT(Validate(SkellamRelease{.sensitivity = {kMaxReleaseL2, 1}, .variance = kMinReleaseVariance}), IsOk());
  EXPECT_THAT(Validate(SkellamRelease{.sensitivity = {2 * kMaxReleaseL2, 1}, .variance = 1}),
              HasStatus(StatusCode::kInvalidArgument, "l2"));
  EXPECT_THAT(Validate(SkellamRelease{.sensitivity = {1, 1}, .variance = 2 * kMaxReleaseVariance}),
              HasStatus(StatusCode::kInvalidArgument, "variance"));
  EXPECT_THAT(Validate(SkellamRelease{.sensitivity = {1, 1}, .variance = kMinReleaseVariance / 2}),
              HasStatus(StatusCode::kInvalidArgument, "variance"));
  EXPECT_THAT(NoiseMultiplierFor({.epsilon = 0}), HasStatus(StatusCode::kInvalidArgument, "epsilon"));
  EXPECT_THAT(NoiseMultiplierFor({.releases = 0}), HasStatus(StatusCode::kInvalidArgument, "releases"));
  EXPECT_THAT(NoiseMultiplierFor({.epsilon = 1e-9, .releases = UINT64_MAX}),
              HasStatus(StatusCode::kInvalidArgument, "no noise"));
}

TEST(RdpCurveTest, AnInfiniteCurveHasInfiniteEpsilonAndNothingSpentHasNone) {
  RdpCurve curve = NothingSpent();
  EXPECT_EQ(EpsilonAt(curve, 1e-6)->epsilon, 0);
  EXPECT_LT(*DeltaAt(curve, 50), 1e-300);
  RdpCurve infinite = curve;
  for (double& value : infinite.values) value = std::numeric_limits<double>::infinity();
  curve.Add(infinite, 0);
  EXPECT_EQ(EpsilonAt(curve, 1e-6)->epsilon, 0);
  curve.Add(infinite);
  EXPECT_TRUE(std::isinf(EpsilonAt(curve, 1e-6)->epsilon));
  EXPECT_EQ(*DeltaAt(curve, 50), 1);
}

}  // namespace
}  // namespace fleetune
