// Examples that are only measured, and trainings that end by them.

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "lora/train/trainer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

constexpr uint32_t kVocabulary = 512;

// Random texts of their own: what is learned of some does not help with others, so the held-out loss soon rises.
class HeldOutTrainingTest : public ::testing::Test {
 protected:
  HeldOutTrainingTest() {
    options_.learning_rate = 0.02;
    options_.steps = 40;
    options_.sequence_length = 64;
    options_.micro_batch = 4;
    options_.factors = Factors::kBoth;
    options_.evaluate_every = 2;
  }

  std::unique_ptr<AdapterTrainer> NewTrainer() const {
    auto trainer = AdapterTrainer::Create(*model_, learned_, start_, options_, {}, held_out_);
    EXPECT_THAT(trainer, IsOk());
    return *std::move(trainer);
  }
  TrainResult Whole() const {
    const auto trainer = NewTrainer();
    while (!trainer->done()) EXPECT_THAT(trainer->Step(), IsOk());
    return *trainer->Result();
  }
  double LossOf(const Adapter& adapter) const { return *MeanLoss(*model_, held_out_, &adapter); }

  const std::shared_ptr<const GgufFile> model_ = *OpenStories("q8_0");
  const Adapter start_ = AdapterWithB(*model_);
  const std::vector<TokenExample> learned_ = RandomExamples(5, 30, kVocabulary, 1);
  std::vector<TokenExample> held_out_ = RandomExamples(6, 30, kVocabulary, 2);
  TrainOptions options_;
};

bool SameWeights(const Adapter& one, const Adapter& other) {
  return std::ranges::equal(one.a(), other.a()) && std::ranges::equal(one.b(), other.b());
}

TEST_F(HeldOutTrainingTest, MeasuringChangesNothingAndIsWhatMeanLossSays) {
  options_.dropout = 0.1;
  options_.steps = 5;
  const TrainResult measured = Whole();
  ASSERT_TRUE(measured.held_out_before.has_value() && measured.held_out_after.has_value());
  EXPECT_NEAR(*measured.held_out_before, LossOf(start_), 1e-4);
  EXPECT_NEAR(*measured.held_out_after, LossOf(measured.adapter), 1e-4);
  EXPECT_EQ(measured.best_step, 5u);
  held_out_.clear();
  const TrainResult unmeasured = Whole();
  EXPECT_FALSE(unmeasured.held_out_before.has_value() || unmeasured.held_out_after.has_value());
  EXPECT_TRUE(SameWeights(measured.adapter, unmeasured.adapter));
}

TEST_F(HeldOutTrainingTest, PatienceEndsWithTheBest) {
  options_.patience = 3;
  const TrainResult result = Whole();
  EXPECT_LT(result.steps, options_.steps);
  ASSERT_TRUE(result.held_out_after.has_value());
  EXPECT_LE(*result.held_out_after, *result.held_out_before);
  EXPECT_NEAR(*result.held_out_after, LossOf(result.adapter), 1e-4);
  EXPECT_EQ(result.steps, result.best_step + options_.patience * options_.evaluate_every);

  // The same as a training of that many steps without patience.
  options_.patience = 0;
  options_.steps = result.best_step;
  if (result.best_step == 0) {
    EXPECT_TRUE(SameWeights(result.adapter, start_));
  } else {
    EXPECT_TRUE(SameWeights(result.adapter, Whole().adapter));
  }
}

TEST_F(HeldOutTrainingTest, WithoutHeldOutExamplesPatienceDoesNothing) {
  options_.steps = 6;
  options_.patience = 1;
  held_out_.clear();
  EXPECT_EQ(Whole().steps, 6u);
}

TEST_F(HeldOutTrainingTest, StoppedByOthersItSaysNothingOfTheEnd) {
  const auto trainer = NewTrainer();
  ASSERT_THAT(trainer->Step(), IsOk());
  EXPECT_TRUE(trainer->Result()->held_out_before.has_value());
  EXPECT_FALSE(trainer->Result()->held_out_after.has_value());
}

TEST_F(HeldOutTrainingTest, AStopOnTheWayChangesNoBit) {
  options_.patience = 2;
  const TrainResult whole = Whole();
  for (uint32_t stop = 1; stop <= whole.steps; ++stop) {
    const auto first = NewTrainer();
    while (first->steps_done() < stop) ASSERT_THAT(first->Step(), IsOk());
    const auto second = NewTrainer();
    ASSERT_THAT(second->GoOnFrom(*DecodeTrainingState(first->Checkpoint())), IsOk());
    while (!second->done()) ASSERT_THAT(second->Step(), IsOk());
    const TrainResult result = *second->Result();
    EXPECT_TRUE(SameWeights(result.adapter, whole.adapter)) << stop;
    EXPECT_EQ(result.held_out_before, whole.held_out_before);
    EXPECT_EQ(result.held_out_after, whole.held_out_after);
    EXPECT_EQ(result.best_step, whole.best_step);
    EXPECT_EQ(result.steps, whole.steps);
  }
}

TEST_F(HeldOutTrainingTest, ACheckpointWithOtherHeldOutExamplesIsRefused) {
  const auto first = NewTrainer();
  ASSERT_THAT(first->Step(), IsOk());
  const TrainingState state = *DecodeTrainingState(first->Checkpoint());
  held_out_.pop_back();
  EXPECT_THAT(NewTrainer()->GoOnFrom(state), HasStatus(absl::StatusCode::kFailedPrecondition, "of a training with another"));
}

TEST_F(HeldOutTrainingTest, RefusesHeldOutExamplesThatDoNotFit) {
  held_out_[1].tokens.clear();
  held_out_[1].loss.clear();
  EXPECT_THAT(AdapterTrainer::Create(*model_, learned_, start_, options_, {}, held_out_),
              HasStatus(absl::StatusCode::kInvalidArgument, "example 1"));
}

}  // namespace
}  // namespace fleetune
