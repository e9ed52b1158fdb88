#include "aggregation/secagg/graph_parameters.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <ostream>
#include <utility>
#include <vector>

#include "aggregation/secagg/graph_parameters_tail.h"
#include "base/random.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune::secagg {

// Found by GoogleTest through the type's namespace.
void PrintTo(const GraphParameters& graph, std::ostream* out) {
  *out << graph.neighbours << "," << graph.threshold << (graph.complete ? " complete" : "");
}

namespace {

using absl::StatusCode;

constexpr Profile kH = Profile::kHonestButCurious;
constexpr Profile kM = Profile::kMalicious;

GraphParameters Sparse(uint32_t neighbours, uint32_t threshold) { return {neighbours, threshold, false}; }
GraphParameters Complete(uint32_t cohort, uint32_t threshold) { return {cohort - 1, threshold, true}; }

TEST(GraphParametersTest, GivesTheGoldenValues) {
  struct Column {
    Profile profile;
    double adversarial;
    double dropout;
    GraphParameters of_64, of_256, of_1024, of_4096;
  };
  const Column columns[] = {
      {kH, 0.1, 0.1, Sparse(14, 7), Sparse(36, 20), Sparse(48, 27), Sparse(52, 30)},
      {kH, 0.1, 0.2, Sparse(18, 7), Sparse(48, 22), Sparse(64, 31), Sparse(74, 35)},
      {kM, 0.05, 0.1, Complete(64, 34), Sparse(66, 47), Sparse(118, 85), Sparse(138, 99)},
      {kM, 0.1, 0.1, Complete(64, 36), Sparse(94, 72), Sparse(152, 114), Sparse(180, 134)},
      {kM, 0.1, 0.2, Complete(64, 36), Sparse(146, 100), Sparse(288, 195), Sparse(378, 254)},
  };
  for (const Column& c : columns) {
    EXPECT_EQ(*ComputeGraphParameters(64, c.adversarial, c.dropout, c.profile), c.of_64);
    EXPECT_EQ(*ComputeGraphParameters(256, c.adversarial, c.dropout, c.profile), c.of_256);
    EXPECT_EQ(*ComputeGraphParameters(1024, c.adversarial, c.dropout, c.profile), c.of_1024);
    EXPECT_EQ(*ComputeGraphParameters(4096, c.adversarial, c.dropout, c.profile), c.of_4096);
  }
}

TEST(GraphParametersTest, SmallCohortsGetTheCompleteGraph) {
  EXPECT_EQ(*ComputeGraphParameters(3, 0.1, 0.1, kH), Complete(3, 2));
  EXPECT_EQ(*ComputeGraphParameters(4, 0.1, 0.1, kH), Complete(4, 2));
  EXPECT_EQ(*ComputeGraphParameters(5, 0.1, 0.1, kH), Complete(5, 3));
  EXPECT_EQ(*ComputeGraphParameters(3, 0.1, 0.34, kH), Complete(3, 2));
  EXPECT_EQ(*ComputeGraphParameters(3, 0.1, 0.34, kM), Complete(3, 2));
  EXPECT_EQ(*ComputeGraphParameters(4, 0.1, 0.1, kM), Complete(4, 3));
  EXPECT_EQ(*ComputeGraphParameters(5, 0.1, 0.1, kM), Complete(5, 3));
  EXPECT_EQ(*ComputeGraphParameters(10, 0.1, 0.1, kM), Complete(10, 6));
  EXPECT_EQ(*ComputeGraphParameters(20, 0.1, 0.1, kM), Complete(20, 12));
}

TEST(GraphParametersTest, SparseGraphsBeginAboveTheirSizes) {
  EXPECT_EQ(*ComputeGraphParameters(32, 0.1, 0.1, kH), Complete(32, 16));
  EXPECT_EQ(*ComputeGraphParameters(33, 0.1, 0.1, kH), Sparse(8, 4));
  EXPECT_EQ(*ComputeGraphParameters(65, 0.1, 0.1, kM), Sparse(28, 22));
}

TEST(GraphParametersTest, TheCompleteGraphIsTheLastResort) {
  EXPECT_EQ(*ComputeGraphParameters(1000, 0.33, 0.33, kM), Complete(1000, 666));
}

TEST(GraphParametersTest, NoShareIsASecret) {
  EXPECT_EQ(*ComputeGraphParameters(1000, 0, 0, kH), Sparse(2, 2));
  EXPECT_EQ(*ComputeGraphParameters(33, 0.02, 0, kH), Sparse(2, 2));  // A = 0
}

TEST(GraphParametersTest, CohortIsLimitedOnBothSides) {
  for (const Profile profile : {kH, kM}) {
    for (const uint32_t good : {3u, 4096u}) EXPECT_THAT(ComputeGraphParameters(good, 0.1, 0.1, profile), IsOk());
    for (const uint32_t bad : {0u, 1u, 2u, 4097u, UINT32_MAX}) {
      EXPECT_THAT(ComputeGraphParameters(bad, 0.1, 0.1, profile),
                  HasStatus(StatusCode::kInvalidArgument, "expected 3 to 4096 devices"));
    }
  }
}

TEST(GraphParametersTest, SharesAreLimitedOnBothSides) {
  const double below_half = std::nextafter(0.5, 0.0);
  for (const double good : {0.0, below_half}) {
    EXPECT_THAT(ComputeGraphParameters(100, good, 0.1, kH), IsOk());
    EXPECT_THAT(ComputeGraphParameters(100, 0.1, good, kH), IsOk());
  }
  for (const double bad :
       {-1e-9, 0.5, 1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    EXPECT_THAT(ComputeGraphParameters(100, bad, 0.1, kH),
                HasStatus(StatusCode::kInvalidArgument, "expected shares in [0, 0.5)"));
    EXPECT_THAT(ComputeGraphParameters(100, 0.1, bad, kH),
                HasStatus(StatusCode::kInvalidArgument, "expected shares in [0, 0.5)"));
  }
  EXPECT_THAT(ComputeGraphParameters(100, 0.33, 0.33, kH), IsOk());
  EXPECT_THAT(ComputeGraphParameters(100, 0.33, 0.34, kH),
              HasStatus(StatusCode::kInvalidArgument, "adversarial + dropout: expected less than 2/3"));
}

TEST(GraphParametersTest, TheProfileIsOneOfTwo) {
  for (const int bad : {0, 3, 255}) {
    EXPECT_THAT(ComputeGraphParameters(10, 0.1, 0.1, static_cast<Profile>(bad)),
                HasStatus(StatusCode::kInvalidArgument, "profile: expected 1 or 2"));
  }
}

TEST(GraphParametersTest, TwoHonestDevicesMustBeLeft) {
  EXPECT_THAT(ComputeGraphParameters(4, 0.25, 0.25, kH), IsOk());
  EXPECT_THAT(ComputeGraphParameters(3, 0.34, 0, kH), IsOk());
  EXPECT_THAT(ComputeGraphParameters(3, 0.32, 0.34, kH), IsOk());
  EXPECT_THAT(ComputeGraphParameters(4, 0.4, 0.26, kH), IsOk());
  EXPECT_THAT(ComputeGraphParameters(5, 0.4, 0.2, kH), IsOk());
  EXPECT_THAT(ComputeGraphParameters(3, 0.3333333333, 0.3333333333, kH),
              HasStatus(StatusCode::kInvalidArgument, "expected at least 2 honest survivors"));
}

TEST(GraphParametersTest, TheThresholdOfTheCompleteGraphMustSurvive) {
  EXPECT_EQ(*ComputeGraphParameters(20, 0.1, 0.4, kM), Complete(20, 12));  // 12 survive
  EXPECT_THAT(ComputeGraphParameters(20, 0.1, 0.45, kM),
              HasStatus(StatusCode::kInvalidArgument, "expected at least the threshold, 12, to survive"));
  EXPECT_EQ(*ComputeGraphParameters(20, 0.1, 0.45, kH), Complete(20, 10));
}

TEST(GraphParametersTest, SharesMeanTheirDecimalValues) {
  // 0.29 * 100 is below 29 in binary; A is 29 all the same.
  EXPECT_EQ(*ComputeGraphParameters(100, 0.29, 0, kH), *ComputeGraphParameters(100, 0.2900001, 0, kH));
  EXPECT_EQ(*ComputeGraphParameters(50, 0.14, 0, kM), Complete(50, (50 + 7) / 2 + 1));
}

// The conditions of the header once more, with logarithms, sums from end to end and every k in turn.
class Reference {
 public:
  Reference(uint32_t n, double adversarial, double dropout, Profile profile)
      : n_(n), sigma_(profile == kM ? 104 : 40), malicious_(profile == kM) {
    a_ = static_cast<int>(std::floor(adversarial * n + 1e-9));
    d_ = static_cast<int>(std::floor(dropout * n + 1e-9));
  }

  // k, t; zeros if no k will do.
  std::pair<int, int> Smallest() const {
    const double n = n_;
    const double log_n = std::log2(n);
    for (int k = 2; k < n_ - 1; k += 2) {
      if (std::log2(n * (n - k - 1) / 2) + Log2AtLeast(k, a_ + d_, k) >= -sigma_ - 1) continue;
      int a = 0;
      while (Log2AtLeast(a + 1, a_, k) > -sigma_ - 1 - log_n) ++a;
      for (int t = 2; t <= k; ++t) {
        if (malicious_ ? 2 * t <= k + a : t <= a) continue;
        if (malicious_ && 2 * log_n - 1 + 2 * Log2AtLeast(t - k / 2 - 1, a_, k / 2) > -sigma_ - 1) continue;
        if (Log2AtLeast(k - t + 1, d_, k) <= -20 - log_n) return {k, t};
      }
    }
    return {0, 0};
  }

 private:
  static double LogChoose(int n, int k) { return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1); }

  double Log2AtLeast(int x, int marked, int drawn) const {
    double sum = 0;
    for (int i = std::min(marked, drawn); i >= std::max({x, 0, marked + drawn - n_}); --i) {
      sum += std::exp(LogChoose(marked, i) + LogChoose(n_ - marked, drawn - i) - LogChoose(n_, drawn));
    }
    return std::log2(sum);
  }

  int n_;
  int sigma_;
  bool malicious_;
  int a_ = 0;
  int d_ = 0;
};

TEST(GraphParametersTest, AgreesWithTheSlowForm) {
  SplitMix64 random(1);
  for (int i = 0; i < 40; ++i) {
    const Profile profile = i % 2 == 0 ? kH : kM;
    const auto n = static_cast<uint32_t>(65 + random.Below(i < 36 ? 100 : 300));
    const double adversarial = random.NextUnit() * 0.3;
    const double dropout = random.NextUnit() * 0.3;
    const auto graph = ComputeGraphParameters(n, adversarial, dropout, profile);
    const auto [k, t] = Reference(n, adversarial, dropout, profile).Smallest();
    if (k != 0) {
      EXPECT_EQ(*graph, Sparse(k, t)) << n << " " << adversarial << " " << dropout << " " << static_cast<int>(profile);
    } else if (graph.ok()) {
      EXPECT_TRUE(graph->complete) << n << " " << adversarial << " " << dropout;
    }
  }
}

TEST(GraphParametersTest, EveryResultIsUsable) {
  SplitMix64 random(2);
  int sparse = 0;
  for (int i = 0; i < 3000; ++i) {
    const Profile profile = random.Below(2) == 0 ? kH : kM;
    const auto n = static_cast<uint32_t>(3 + random.Below(random.Below(2) == 0 ? 60 : 1000));
    const double adversarial = random.NextUnit() * 0.49;
    const double dropout = random.NextUnit() * 0.49;
    const auto graph = ComputeGraphParameters(n, adversarial, dropout, profile);
    if (!graph.ok()) {
      EXPECT_THAT(graph, HasStatus(StatusCode::kInvalidArgument, "expected"));
      continue;
    }
    const auto a = static_cast<uint32_t>(adversarial * n);
    const auto d = static_cast<uint32_t>(dropout * n);
    ASSERT_GE(graph->threshold, 2u);
    if (graph->complete) {
      ASSERT_EQ(graph->neighbours, n - 1);
      ASSERT_GT(graph->threshold, a);
      ASSERT_LE(graph->threshold, n - d);
      if (profile == kM) {
        ASSERT_GT(2 * graph->threshold, n + a);
      }
    } else {
      ++sparse;
      ASSERT_EQ(graph->neighbours % 2, 0u);
      ASSERT_LT(graph->neighbours, n - 1);
      ASSERT_LE(graph->threshold, graph->neighbours);
      if (profile == kM) {
        ASSERT_GT(2 * graph->threshold, graph->neighbours);
      }
    }
  }
  EXPECT_GT(sparse, 500);
}

TEST(HypergeometricTailTest, AgreesWithCounting) {
  // All subsets of 5 out of 12, of which the first 4 are marked.
  int of_subsets[6] = {};
  int subsets = 0;
  for (uint32_t bits = 0; bits < 1u << 12; ++bits) {
    if (std::popcount(bits) != 5) continue;
    ++subsets;
    for (int x = 0; x <= std::popcount(bits & 0xf); ++x) ++of_subsets[x];
  }
  const HypergeometricTail tail(12);
  for (int x = 2; x <= 5; ++x) {  // the mean is 5/3
    EXPECT_NEAR(tail.AtLeast(x, 12, 4, 5), of_subsets[x] / static_cast<double>(subsets), 1e-15) << x;
  }
}

TEST(HypergeometricTailTest, IsOneUpToTheMeanAndZeroPastTheEnd) {
  const HypergeometricTail tail(100);
  for (const int64_t x : {INT64_C(-5), INT64_C(0), INT64_C(1), INT64_C(3)}) EXPECT_EQ(tail.AtLeast(x, 100, 30, 10), 1);
  EXPECT_LT(tail.AtLeast(4, 100, 30, 10), 1);
  EXPECT_GT(tail.AtLeast(10, 100, 30, 10), 0);
  EXPECT_EQ(tail.AtLeast(11, 100, 30, 10), 0);
  EXPECT_EQ(tail.AtLeast(1, 100, 0, 10), 0);
  EXPECT_EQ(tail.AtLeast(11, 100, 100, 10), 0);
  EXPECT_EQ(tail.AtLeast(10, 100, 100, 10), 1);
}

// The bits themselves, which any machine must compute.
TEST(HypergeometricTailTest, GivesTheFrozenBits) {
  const HypergeometricTail tail(4096);
  EXPECT_EQ(tail.AtLeast(30, 4096, 409, 52), 0x1.bcfc11ee3cb2ep-57);
  EXPECT_EQ(tail.AtLeast(125, 4096, 819, 378), 0x1.ccea6a59ad6dp-33);
}

TEST(HypergeometricTailDeathTest, ChecksItsCaller) {
  const HypergeometricTail tail(10);
  EXPECT_DEATH((void)tail.AtLeast(1, 11, 1, 1), "population");
  EXPECT_DEATH((void)tail.AtLeast(1, 10, 11, 1), "population");
  EXPECT_DEATH((void)tail.AtLeast(1, 10, 1, 11), "population");
}

}  // namespace
}  // namespace fleetune::secagg
