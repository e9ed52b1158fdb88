// What a fleet adds to gradients, in whole trainings.

#include <cmath>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/train/trainer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::ElementsAreArray;
using testing::IsEmpty;

class TrainerTermsTest : public ::testing::Test {
 protected:
  TrainerTermsTest() {
    options_.steps = 1;
    options_.sequence_length = 48;
    options_.micro_batch = 2;
    options_.learning_rate = 0.01;
  }
  std::unique_ptr<AdapterTrainer> Trainer() const {
    auto trainer = AdapterTrainer::Create(*model_, examples_, start_, options_, {});
    EXPECT_THAT(trainer, IsOk());
    return *std::move(trainer);
  }
  static TrainResult Finish(AdapterTrainer& trainer) {
    while (!trainer.done()) EXPECT_THAT(trainer.Step(), IsOk());
    return *trainer.Result();
  }
  double Moved(const Adapter& adapter) const {
    double sum = 0;
    for (size_t i = 0; i < adapter.b().size(); ++i) sum += std::pow(adapter.b()[i] - start_.b()[i], 2);
    return std::sqrt(sum);
  }

  const std::shared_ptr<const GgufFile> model_ = *OpenStories("f32");
  const std::vector<TokenExample> examples_ = RandomExamples(6, 40, 512);
  const Adapter start_ = AdapterWithB(*model_);
  TrainOptions options_;
};

TEST_F(TrainerTermsTest, ProximalKeepsADeviceNearItsStart) {
  options_.steps = 12;
  const double free = Moved(Finish(*Trainer()).adapter);
  options_.proximal = 100;
  options_.clip_gradient_norm = 1e9;
  EXPECT_LT(Moved(Finish(*Trainer()).adapter), 0.5 * free);
}

TEST_F(TrainerTermsTest, ACorrectionOfTheWholeGradientLeavesNothingToLearn) {
  options_.control_variates = true;
  const TrainResult first = Finish(*Trainer());
  ASSERT_EQ(first.mean_gradient.size(), start_.spec().b_size());
  EXPECT_GT(Moved(first.adapter), 0);
  std::vector<float> correction = first.mean_gradient;
  for (float& value : correction) value = -value;
  const auto trainer = Trainer();
  ASSERT_THAT(trainer->CorrectGradient(correction), IsOk());
  const TrainResult second = Finish(*trainer);
  EXPECT_EQ(Moved(second.adapter), 0);
  EXPECT_THAT(second.mean_gradient, ElementsAreArray(first.mean_gradient));  // of its own gradients, as they came
}

TEST_F(TrainerTermsTest, WithoutControlVariatesThereAreNone) {
  const auto trainer = Trainer();
  EXPECT_THAT(trainer->CorrectGradient(std::vector<float>(start_.spec().b_size())),
              HasStatus(StatusCode::kFailedPrecondition, "control_variates"));
  EXPECT_THAT(Finish(*trainer).mean_gradient, IsEmpty());
}

TEST_F(TrainerTermsTest, ACorrectionHoldsFromTheFirstStepOn) {
  options_.control_variates = true;
  options_.steps = 2;
  const auto trainer = Trainer();
  ASSERT_THAT(trainer->Step(), IsOk());
  EXPECT_THAT(trainer->CorrectGradient(std::vector<float>(start_.spec().b_size())),
              HasStatus(StatusCode::kFailedPrecondition, "first step"));
}

}  // namespace
}  // namespace fleetune
