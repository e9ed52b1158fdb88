// A training that is stopped and goes on learns, bit for bit, what it would have learned without a stop.

#include <gtest/gtest.h>

#include <vector>

#include "base/random.h"
#include "lora/train/initial_magnitudes.h"
#include "lora/train/trainer.h"
#include "tests/support/status_matchers.h"
#include "tests/support/stories_model.h"

namespace fleetune {
namespace {

constexpr uint32_t kSteps = 12;

std::vector<float> Values(const AdapterTrainer& trainer) {
  const TrainResult result = *trainer.Result();
  std::vector<float> values(result.adapter.a().begin(), result.adapter.a().end());
  values.insert(values.end(), result.adapter.b().begin(), result.adapter.b().end());
  values.insert(values.end(), result.adapter.magnitudes().begin(), result.adapter.magnitudes().end());
  values.insert(values.end(), result.mean_gradient.begin(), result.mean_gradient.end());
  return values;
}

void RunUntil(AdapterTrainer& trainer, uint32_t step) {
  while (!trainer.done()) {
    if (trainer.steps_done() == step) return;
    ASSERT_THAT(trainer.Step(), IsOk());
  }
}

class CheckpointTest : public ::testing::Test {
 protected:
  CheckpointTest() {
    options_.steps = kSteps;
    options_.sequence_length = 32;
    options_.micro_batch = 2;
    options_.dropout = 0.1;
    options_.schedule = Schedule::kCosine;
    options_.warmup_steps = 3;
    options_.weight_decay = 0.01;
    options_.factors = Factors::kBoth;
  }

  std::unique_ptr<AdapterTrainer> NewTrainer() const {
    auto trainer = AdapterTrainer::Create(*model_, examples_, *initial_, options_, machine_);
    EXPECT_THAT(trainer, IsOk());
    if (!correction_.empty()) {
      EXPECT_THAT((*trainer)->CorrectGradient(correction_), IsOk());
    }
    return *std::move(trainer);
  }
  // One to three stops, each a new process that knows nothing but the bytes.
  void ExpectSameBitsAfterStops(SplitMix64& random, const AdapterTrainer& whole) const {
    auto trainer = NewTrainer();
    for (uint32_t at = 0; at < kSteps;) {
      at += 1 + static_cast<uint32_t>(random.Below(kSteps));
      RunUntil(*trainer, std::min(at, kSteps));
      const auto state = DecodeTrainingState(trainer->Checkpoint());
      ASSERT_THAT(state, IsOk());
      trainer = NewTrainer();
      ASSERT_THAT(trainer->GoOnFrom(*state), IsOk());
    }
    EXPECT_TRUE(trainer->done());
    EXPECT_EQ(Values(*trainer), Values(whole));
    EXPECT_EQ(trainer->Result()->first_loss, whole.Result()->first_loss);
    EXPECT_EQ(trainer->Result()->tokens, whole.Result()->tokens);
  }
  // A trainer that is stopped after so many steps, and another that goes on from its checkpoint, end where `whole` did.
  void ExpectSameBitsAfter(uint32_t stop, const AdapterTrainer& whole) const {
    const auto stopped = NewTrainer();
    RunUntil(*stopped, stop);
    const auto resumed = NewTrainer();
    ASSERT_THAT(resumed->GoOnFrom(*DecodeTrainingState(stopped->Checkpoint())), IsOk());
    RunUntil(*resumed, kSteps);
    EXPECT_EQ(Values(*resumed), Values(whole)) << "stopped after " << stop;
  }

  const std::shared_ptr<const GgufFile> model_ = *OpenStories("q4_0");
  std::shared_ptr<const Adapter> initial_ = std::make_shared<const Adapter>(AdapterWithB(*model_));
  const std::vector<TokenExample> examples_ = RandomExamples(7, 30, 512);
  TrainOptions options_;
  TrainMachine machine_;
  std::vector<float> correction_;  // of control variates; empty: none
};

TEST_F(CheckpointTest, StoppedAtRandomPointsItGivesTheSameBits) {
  for (const ProductType products : {ProductType::kFloat32, ProductType::kBfloat16, ProductType::kInt8}) {
    machine_.products = products;
    const auto whole = NewTrainer();
    RunUntil(*whole, kSteps);
    SplitMix64 random(11);
    for (int i = 0; i < 25; ++i) {
      SCOPED_TRACE(i);
      ExpectSameBitsAfterStops(random, *whole);
    }
  }
}

// The adapter and the mean of the gradients, with which control variates move.
TEST_F(CheckpointTest, WithControlVariatesItGivesTheSameBits) {
  options_.control_variates = true;
  options_.proximal = 0.1;
  SplitMix64 random(12);
  const AdapterSpec& spec = initial_->spec();
  for (uint64_t i = 0; i < FloatsOf(spec, options_.factors); ++i) {
    correction_.push_back(1e-3f * (static_cast<float>(random.Below(2001)) - 1000));
  }
  for (const ProductType products : {ProductType::kFloat32, ProductType::kBfloat16, ProductType::kInt8}) {
    machine_.products = products;
    const auto whole = NewTrainer();
    RunUntil(*whole, kSteps);
    EXPECT_EQ(whole->Result()->mean_gradient.size(), correction_.size());
    for (int i = 0; i < 25; ++i) {
      SCOPED_TRACE(i);
      ExpectSameBitsAfterStops(random, *whole);
    }
  }
}

TEST_F(CheckpointTest, OfAnotherCorrectionIsRefused) {
  options_.control_variates = true;
  correction_.assign(FloatsOf(initial_->spec(), options_.factors), 0.25f);
  const auto trainer = NewTrainer();
  RunUntil(*trainer, 2);
  const TrainingState state = *DecodeTrainingState(trainer->Checkpoint());
  const auto refused = HasStatus(absl::StatusCode::kFailedPrecondition, "another correction of the gradients");
  EXPECT_THAT(NewTrainer()->GoOnFrom(state), IsOk());
  correction_.back() = 0.5f;
  const auto other = NewTrainer();
  EXPECT_THAT(other->GoOnFrom(state), refused);
  EXPECT_EQ(other->steps_done(), 0u);
  correction_.clear();
  EXPECT_THAT(NewTrainer()->GoOnFrom(state), refused);
}

// Ended in the middle of a step: this trainer begins the step anew, another one goes on from before it.
TEST_F(CheckpointTest, AStepThatWasEndedLeavesNoTrace) {
  options_.accumulate = 2;
  machine_.memory_bytes = 1;  // a pass a sequence
  const auto whole = NewTrainer();
  RunUntil(*whole, kSteps);
  const auto trainer = NewTrainer();
  RunUntil(*trainer, 4);
  const TrainResult before = *trainer->Result();
  for (const int passes : {0, 1, 3}) {
    int left = passes;
    Bytes within;
    trainer->AskBeforePass([&] {
      within = trainer->Checkpoint();
      return left-- > 0;
    });
    EXPECT_THAT(trainer->Step(), HasStatus(absl::StatusCode::kCancelled, "step 5"));
    EXPECT_EQ(left, -1);
    EXPECT_EQ(trainer->steps_done(), 4u);
    EXPECT_EQ(trainer->Result()->tokens, before.tokens);
    const auto other = NewTrainer();
    ASSERT_THAT(other->GoOnFrom(*DecodeTrainingState(within)), IsOk());
    RunUntil(*other, kSteps);
    EXPECT_EQ(Values(*other), Values(*whole));
  }
  trainer->AskBeforePass([] { return true; });
  RunUntil(*trainer, kSteps);
  EXPECT_EQ(Values(*trainer), Values(*whole));
}

TEST_F(CheckpointTest, EachOptimizerGoesOnWithTheSameBits) {
  for (const OptimizerKind kind : {OptimizerKind::kSgd, OptimizerKind::kAdaFactor}) {
    options_.optimizer = kind;
    const auto whole = NewTrainer();
    RunUntil(*whole, kSteps);
    for (uint32_t stop = 1; stop < kSteps; ++stop) {
      ExpectSameBitsAfter(stop, *whole);
    }
  }
}

// Gains are no part of a checkpoint: they follow from A, B and magnitudes.
TEST_F(CheckpointTest, DoraGoesOnWithTheSameBits) {
  initial_ = std::make_shared<const Adapter>(*WithMagnitudes(*model_, *initial_));
  for (const Factors factors : {Factors::kBoth, Factors::kA, Factors::kB}) {
    options_.factors = factors;
    for (const ProductType products : {ProductType::kFloat32, ProductType::kBfloat16, ProductType::kInt8}) {
      machine_.products = products;
      const auto whole = NewTrainer();
      RunUntil(*whole, kSteps);
      for (const uint32_t stop : {1u, 7u}) {
        ExpectSameBitsAfter(stop, *whole);
      }
    }
  }
}

TEST_F(CheckpointTest, OfAnotherTrainingIsRefused) {
  const auto trainer = NewTrainer();
  RunUntil(*trainer, 2);
  const TrainingState state = *DecodeTrainingState(trainer->Checkpoint());
  const auto refused = HasStatus(absl::StatusCode::kFailedPrecondition, "the checkpoint is of a training with another");

  options_.learning_rate *= 2;
  EXPECT_THAT(NewTrainer()->GoOnFrom(state), refused);
  options_.learning_rate /= 2;
  options_.optimizer = OptimizerKind::kSgd;
  EXPECT_THAT(NewTrainer()->GoOnFrom(state), refused);
  options_.optimizer = OptimizerKind::kAdamW;
  machine_.products = ProductType::kBfloat16;
  EXPECT_THAT(NewTrainer()->GoOnFrom(state), refused);
  machine_.products = ProductType::kFloat32;
  EXPECT_THAT(NewTrainer()->GoOnFrom(state), IsOk());
  auto other = AdapterTrainer::Create(*model_, std::span(examples_).first(6), *initial_, options_, machine_);
  EXPECT_THAT((*other)->GoOnFrom(state), refused);

  TrainingState late = state;
  late.position.step = kSteps + 1;
  EXPECT_THAT(NewTrainer()->GoOnFrom(late), HasStatus(absl::StatusCode::kFailedPrecondition, "after step 13 of 12"));
}

// With another budget of memory it works in other passes than before; what was begun goes on as it began.
TEST_F(CheckpointTest, AnotherBudgetOfMemoryChangesNothing) {
  const auto whole = NewTrainer();
  RunUntil(*whole, kSteps);
  auto trainer = NewTrainer();
  RunUntil(*trainer, 5);
  const TrainingState state = *DecodeTrainingState(trainer->Checkpoint());
  machine_.memory_bytes = 1;
  trainer = NewTrainer();
  ASSERT_THAT(trainer->GoOnFrom(state), IsOk());
  RunUntil(*trainer, kSteps);
  EXPECT_EQ(Values(*trainer), Values(*whole));
}

}  // namespace
}  // namespace fleetune
