#include "lora/plan/task_fit.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace fleetune {
namespace {

using ::testing::HasSubstr;

// Qwen2.5-0.5B in Q4_0: the model whose training was measured at about 700 MB (rank 8 on all, sequence 512).
ModelFootprint HalfBillion() {
  ModelFootprint model{.file_bytes = 345'000'000, .sizes = {}, .vocabulary = 151'936, .heads = 14, .context = 32'768};
  model.sizes.layers = 24;
  auto set = [&model](Projection projection, uint32_t in, uint32_t out) {
    model.sizes.projections[static_cast<size_t>(projection)] = {.in = in, .out = out};
  };
  set(Projection::kQ, 896, 896);
  set(Projection::kK, 896, 128);
  set(Projection::kV, 896, 128);
  set(Projection::kO, 896, 896);
  set(Projection::kGate, 896, 4864);
  set(Projection::kUp, 896, 4864);
  set(Projection::kDown, 4864, 896);
  return model;
}

TrainingPlan BigPlan() {
  TrainingPlan plan;
  plan.targets = {Projection::kQ,    Projection::kK,  Projection::kV,   Projection::kO,
                  Projection::kGate, Projection::kUp, Projection::kDown};
  plan.rank = 8;
  plan.train.sequence_length = 512;
  return plan;
}

uint64_t Need(const TrainingPlan& plan) {
  return EstimateTrainingMemory(HalfBillion(), AdapterOf(plan, HalfBillion()), plan.train, {}).total();
}

TEST(TaskFitTest, FitsAtExactlyItsNeedAndNotAByteBelow) {
  const uint64_t need = Need(BigPlan());
  EXPECT_TRUE(FitTask(BigPlan(), HalfBillion(), need).fits);
  EXPECT_EQ(FitTask(BigPlan(), HalfBillion(), need).reason, "");
  const TaskFit below = FitTask(BigPlan(), HalfBillion(), need - 1);
  EXPECT_FALSE(below.fits);
  EXPECT_THAT(below.reason, HasSubstr("would fit"));
}

TEST(TaskFitTest, ControlVariatesAreCounted) {
  TrainingPlan plan = BigPlan();
  const uint64_t without = Need(plan);
  plan.train.control_variates = true;
  const uint64_t trained = AdapterOf(plan, HalfBillion()).trained;
  EXPECT_EQ(Need(plan), without + 2 * sizeof(float) * trained);
  EXPECT_FALSE(FitTask(plan, HalfBillion(), Need(plan) - 1).fits);
  EXPECT_TRUE(FitTask(plan, HalfBillion(), Need(plan)).fits);
}

TEST(TaskFitTest, SaysWhichRankOrSequenceWouldFit) {
  TrainingPlan plan = BigPlan();
  plan.rank = 16;
  plan.train.sequence_length = 1024;
  TrainingPlan smaller = plan;
  smaller.train.sequence_length = 256;
  const uint64_t allowed = Need(smaller);
  EXPECT_THAT(FitTask(plan, HalfBillion(), allowed).reason, HasSubstr("sequence 1024 -> 256 would fit"));
  smaller = plan;
  smaller.rank = 4;
  const uint64_t for_rank = Need(smaller);
  EXPECT_THAT(FitTask(plan, HalfBillion(), for_rank).reason, HasSubstr("rank 16 -> 4"));
}

TEST(TaskFitTest, SaysIfNothingWouldFit) {
  EXPECT_THAT(FitTask(BigPlan(), HalfBillion(), 64'000'000).reason, HasSubstr("no rank or sequence length would fit"));
  EXPECT_FALSE(FitTask(BigPlan(), HalfBillion(), 0).fits);
}

TEST(TaskFitTest, SequenceMayBeAsLongAsTheContextAndNoLonger) {
  ModelFootprint model = HalfBillion();
  model.context = 512;
  EXPECT_TRUE(FitTask(BigPlan(), model, UINT64_MAX).fits);
  model.context = 511;
  const TaskFit fit = FitTask(BigPlan(), model, UINT64_MAX);
  EXPECT_FALSE(fit.fits);
  EXPECT_THAT(fit.reason, HasSubstr("context of 511"));
}

}  // namespace
}  // namespace fleetune
