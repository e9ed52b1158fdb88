#include "coordinator/core/training_memory.h"

#include "gtest/gtest.h"

namespace fleetune {
namespace {

// About SmolLM-135M: 30 layers of 576, gate and up of 1536.
BaseModel SmallLlama() {
  BaseModel model;
  model.size_bytes = 145'000'000;
  model.layers = 30;
  model.width = 576;
  model.heads = 9;
  model.kv_heads = 3;
  model.sizes.layers = 30;
  model.sizes.projections = {{{576, 576}, {576, 192}, {576, 192}, {576, 576}, {576, 1536}, {576, 1536}, {1536, 576}}};
  return model;
}

AdapterSpec SpecOf(uint32_t rank, const BaseModel& model) {
  return *AdapterSpec::Create({.rank = rank, .alpha = 16, .targets = {Projection::kQ, Projection::kV}}, model.sizes);
}

TrainingPlan PlanOf(const TrainOptions& train, LoraMethod trained = LoraMethod::kB) {
  TrainingPlan plan;
  plan.train = train;
  plan.trained = trained;
  return plan;
}

TEST(TrainingMemoryTest, FitsASmallModelOnASmallBoard) {
  const BaseModel model = SmallLlama();
  const uint64_t bytes = EstimateTrainingMemory(model, SpecOf(8, model), TrainingPlan{});
  EXPECT_GT(bytes, kTrainerFixedBytes + model.size_bytes);
  EXPECT_LT(bytes, 1'000'000'000u);
}

TEST(TrainingMemoryTest, CountsTheAdapterFiveTimes) {
  const BaseModel model = SmallLlama();
  const AdapterSpec one = SpecOf(1, model);
  const AdapterSpec two = SpecOf(2, model);
  const uint64_t more =
      EstimateTrainingMemory(model, two, TrainingPlan{}) - EstimateTrainingMemory(model, one, TrainingPlan{});
  EXPECT_EQ(more, 4 * (one.a_size() + 5 * one.b_size()));
}

TEST(TrainingMemoryTest, TrainingATakesMore) {
  const BaseModel model = SmallLlama();
  const AdapterSpec spec = SpecOf(8, model);
  EXPECT_EQ(
      EstimateTrainingMemory(model, spec, PlanOf(TrainOptions{}, LoraMethod::kFactors)) - EstimateTrainingMemory(model, spec, TrainingPlan{}),
      4 * 4 * spec.a_size());
}

TEST(TrainingMemoryTest, LongerSequencesTakeMore) {
  const BaseModel model = SmallLlama();
  const AdapterSpec spec = SpecOf(8, model);
  EXPECT_GT(EstimateTrainingMemory(model, spec, PlanOf({.sequence_length = 512})),
            EstimateTrainingMemory(model, spec, PlanOf({.sequence_length = 256})));
  EXPECT_EQ(EstimateTrainingMemory(model, spec, PlanOf({.sequence_length = 512, .micro_batch = 1})),
            EstimateTrainingMemory(model, spec, PlanOf({.sequence_length = 256, .micro_batch = 2})));
}

}  // namespace
}  // namespace fleetune
