#include "lora/train/gradient_terms.h"

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr float kStart[] = {1, -2};

TEST(GradientTermsTest, WithoutAnyTheGradientIsTheLosss) {
  GradientTerms terms(TrainOptions{}, kStart);
  std::vector<float> gradient = {0.5f, 0.25f};
  terms.AddTo(gradient, std::vector<float>{7, 7});
  EXPECT_THAT(gradient, ElementsAre(0.5f, 0.25f));
  EXPECT_THAT(terms.MeanGradient(), IsEmpty());
  EXPECT_THAT(terms.SetCorrection({1, 1}), HasStatus(StatusCode::kFailedPrecondition, "control_variates"));
}

TEST(GradientTermsTest, ProximalPullsBackToTheStart) {
  GradientTerms terms(TrainOptions{.proximal = 0.5}, kStart);
  std::vector<float> gradient = {1, 1};
  terms.AddTo(gradient, kStart);
  EXPECT_THAT(gradient, ElementsAre(1.0f, 1.0f));
  terms.AddTo(gradient, std::vector<float>{3, -6});
  EXPECT_THAT(gradient, ElementsAre(2.0f, -1.0f));
}

// Golden: gradient descent on (w - 3)^2 / 2 + mu / 2 (w - w_start)^2 ends where calculus says, at
// (3 + mu w_start) / (1 + mu).
TEST(GradientTermsTest, ProximalDescentEndsBetweenStartAndOptimum) {
  for (const double mu : {0.0, 0.25, 1.0, 4.0}) {
    const std::vector<float> start = {-1};
    std::vector<float> weights = start;
    GradientTerms terms(TrainOptions{.proximal = mu}, start);
    for (int step = 0; step < 400; ++step) {
      std::vector<float> gradient = {weights[0] - 3};
      terms.AddTo(gradient, weights);
      weights[0] -= 0.1f * gradient[0];
    }
    EXPECT_NEAR(weights[0], (3 - mu) / (1 + mu), 1e-5) << mu;
  }
}

TEST(GradientTermsTest, TheMeanIsOfGradientsAsTheyCameIn) {
  GradientTerms terms(TrainOptions{.proximal = 1, .control_variates = true}, kStart);
  EXPECT_THAT(terms.MeanGradient(), ElementsAre(0.0f, 0.0f));
  ASSERT_THAT(terms.SetCorrection({10, 20}), IsOk());
  std::vector<float> gradient = {1, 2};
  terms.AddTo(gradient, std::vector<float>{2, -2});
  EXPECT_THAT(gradient, ElementsAre(12.0f, 22.0f));
  gradient = {3, 6};
  terms.AddTo(gradient, kStart);
  EXPECT_THAT(terms.MeanGradient(), ElementsAre(2.0f, 4.0f));
}

TEST(GradientTermsTest, GoesOnFromItsSum) {
  const TrainOptions options{.control_variates = true};
  GradientTerms whole(options, kStart), stopped(options, kStart), resumed(options, kStart);
  std::vector<float> gradient = {0.1f, 0.7f};
  whole.AddTo(gradient, kStart);
  stopped.AddTo(gradient, kStart);
  EXPECT_THAT(stopped.sum(), ElementsAre(0.1f, 0.7f));
  resumed.GoOnFrom(1, {stopped.sum().begin(), stopped.sum().end()});
  gradient = {0.3f, -0.2f};
  whole.AddTo(gradient, kStart);
  resumed.AddTo(gradient, kStart);
  EXPECT_EQ(resumed.MeanGradient(), whole.MeanGradient());
  EXPECT_THAT(GradientTerms(TrainOptions{}, kStart).sum(), IsEmpty());
}

TEST(GradientTermsTest, CorrectionsHaveNames) {
  const auto corrected = [](std::vector<float> correction) {
    GradientTerms terms(TrainOptions{.control_variates = true}, kStart);
    EXPECT_THAT(terms.SetCorrection(std::move(correction)), IsOk());
    return terms.correction();
  };
  const GradientTerms none(TrainOptions{.control_variates = true}, kStart);
  EXPECT_EQ(corrected({1, 2}), corrected({1, 2}));
  EXPECT_NE(corrected({1, 2}), corrected({2, 1}));
  EXPECT_NE(corrected({0, 0}), none.correction());
  EXPECT_EQ(none.correction(), GradientTerms(TrainOptions{}, kStart).correction());
}

TEST(GradientTermsTest, ACorrectionHasAValueForEachThatIsTrained) {
  GradientTerms terms(TrainOptions{.control_variates = true}, kStart);
  EXPECT_THAT(terms.SetCorrection({1}), HasStatus(StatusCode::kInvalidArgument, "expected 2 values, got 1"));
}

}  // namespace
}  // namespace fleetune
