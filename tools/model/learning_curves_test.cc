#include "tools/model/learning_curves.h"

#include <vector>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

TEST(LearningCurvesTest, PutsValuesWhereTheyBelong) {
  std::vector<TrainStep> steps;
  for (uint32_t i = 1; i <= 3; ++i) {
    steps.push_back(
        {.step = i, .steps = 3, .loss = 5.0 - i, .gradient_norm = 1.0 * i, .learning_rate = 0.5, .tokens = i});
  }
  const std::string svg = LearningCurves(steps);
  // The loss falls from 4 (top, 30) to 2 (bottom, 170) over the width of 80 to 700; the norm rises 200 below; the rate
  // stays.
  EXPECT_NE(svg.find("points=\"80.0,30.0 390.0,100.0 700.0,170.0\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("points=\"80.0,370.0 390.0,300.0 700.0,230.0\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("points=\"80.0,500.0 390.0,500.0 700.0,500.0\""), std::string::npos) << svg;
}

TEST(LearningCurvesTest, OfNothingOrOneStepAreDrawnToo) {
  EXPECT_EQ(LearningCurves({}).find("<polyline"), std::string::npos);
  const std::vector<TrainStep> one = {
      {.step = 1, .steps = 1, .loss = 0, .gradient_norm = 0, .learning_rate = 0, .tokens = 1}};
  const std::string svg = LearningCurves(one);
  EXPECT_NE(svg.find("points=\"80.0,100.0\""), std::string::npos) << svg;
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace fleetune
