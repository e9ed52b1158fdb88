#include "lora/plan/training_memory.h"

#include <initializer_list>

#include "gtest/gtest.h"

namespace fleetune {
namespace {

// Qwen2.5-0.5B in Q4_0.
ModelFootprint HalfBillion() {
  return {.file_bytes = 278'000'000,
          .sizes = {.layers = 24,
                    .projections =
                        {{{896, 896}, {896, 128}, {896, 128}, {896, 896}, {896, 4864}, {896, 4864}, {4864, 896}}}},
          .vocabulary = 151'936,
          .heads = 14,
          .context = 32'768};
}

constexpr AdapterFootprint kRank16 = {.parameters = 8'798'208, .trained = 8'798'208};
constexpr TrainerLayout kSmallest = {.products = ProductType::kBfloat16, .rows = 1, .kept_layers = 0};

uint64_t Total(const TrainOptions& options, const TrainerLayout& layout, const AdapterFootprint& adapter = kRank16) {
  return EstimateTrainingMemory(HalfBillion(), adapter, options, layout).total();
}

TEST(TrainingMemoryTest, MoreOfAnythingTakesMore) {
  const TrainOptions options{.sequence_length = 512};
  const uint64_t least = Total(options, kSmallest);
  EXPECT_GT(Total({.sequence_length = 1024}, kSmallest), least);
  EXPECT_GT(Total(options, {.products = ProductType::kFloat32}), least);
  EXPECT_EQ(Total(options, {.products = ProductType::kInt8}) - least, 512u * 4864 * 3 / 2);
  EXPECT_GT(Total(options, {.products = ProductType::kBfloat16, .rows = 2}), least);
  EXPECT_GT(Total(options, {.products = ProductType::kBfloat16, .rows = 1, .kept_layers = 12}), least);
  const AdapterFootprint half = {.parameters = kRank16.parameters, .trained = kRank16.trained / 2};
  EXPECT_EQ(least - Total(options, kSmallest, half), 3 * sizeof(float) * half.trained);
  EXPECT_EQ(Total({.proximal = 0.1, .sequence_length = 512}, kSmallest) - least, sizeof(float) * kRank16.trained);
  EXPECT_EQ(Total({.control_variates = true, .sequence_length = 512}, kSmallest) - least,
            2 * sizeof(float) * kRank16.trained);
  const TrainingMemory memory = EstimateTrainingMemory(HalfBillion(), kRank16, options, kSmallest);
  EXPECT_EQ(memory.trainer() + memory.weights, memory.total());
}

// Rank 16 on "down" alone, both factors of 24 layers: what each optimizer remembers beside the gradients.
TEST(TrainingMemoryTest, OptimizersRememberWhatTheyNeed) {
  TrainingPlan plan;
  plan.targets = {Projection::kDown};
  plan.rank = 16;
  plan.trained = LoraMethod::kFactors;
  const AdapterFootprint adapter = AdapterOf(plan, HalfBillion());
  EXPECT_EQ(adapter.trained, 24u * 16 * (4864 + 896));
  EXPECT_EQ(adapter.lines, 24u * (16 + 4864 + 16 + 896));
  const AdapterSpec spec =
      *AdapterSpec::Create({.rank = 16, .alpha = 16, .targets = {Projection::kDown}}, HalfBillion().sizes);
  EXPECT_EQ(AdapterOf(spec, Factors::kBoth).lines, adapter.lines);
  EXPECT_EQ(AdapterOf(spec, Factors::kBoth, spec.rank() / 4).trained, adapter.trained / 4);
  EXPECT_EQ(AdapterOf(spec, Factors::kBoth, spec.rank() / 4).parameters, adapter.parameters);
  EXPECT_EQ(AdapterOf(spec, Factors::kBoth, spec.rank() + 1).trained, adapter.trained);
  // Of DoRA with as many magnitudes as outputs, which are rows of their own.
  const AdapterSpec dora =
      *AdapterSpec::Create({.rank = 16, .alpha = 16, .targets = {Projection::kDown}, .dora = true}, HalfBillion().sizes);
  for (const AdapterFootprint& footprint : {AdapterOf(dora, Factors::kBoth), AdapterOf(plan, HalfBillion(), true)}) {
    EXPECT_EQ(footprint.magnitudes, 24u * 896);
    EXPECT_EQ(footprint.parameters, adapter.parameters + 24u * 896);
    EXPECT_EQ(footprint.trained, adapter.trained + 24u * 896);
    EXPECT_EQ(footprint.lines, adapter.lines + 24u * (1 + 896));
  }
  const TrainingMemory plain_memory = EstimateTrainingMemory(HalfBillion(), adapter, plan.train, {});
  const TrainingMemory dora_memory =
      EstimateTrainingMemory(HalfBillion(), AdapterOf(dora, Factors::kBoth), plan.train, {});
  EXPECT_GT(dora_memory.activations, plain_memory.activations + 256u * 896 * sizeof(float));
  EXPECT_EQ(dora_memory.adapter, plain_memory.adapter + 7u * 24 * 896 * sizeof(float));  // AdamW; three of the gains
  EXPECT_EQ(AdapterOf(spec, Factors::kA).lines, 24u * (16 + 4864));
  EXPECT_EQ(AdapterOf(spec, Factors::kB).lines, 24u * (16 + 896));

  plan.train.optimizer = OptimizerKind::kAdamW;
  const uint64_t adamw = Total(plan.train, kSmallest, adapter);
  plan.train.optimizer = OptimizerKind::kSgd;
  EXPECT_EQ(adamw - Total(plan.train, kSmallest, adapter), sizeof(float) * adapter.trained);
  plan.train.momentum = 0;
  EXPECT_EQ(adamw - Total(plan.train, kSmallest, adapter), sizeof(float) * 2 * adapter.trained);
  plan.train.optimizer = OptimizerKind::kAdaFactor;
  EXPECT_EQ(adamw - Total(plan.train, kSmallest, adapter), sizeof(float) * (2 * adapter.trained - adapter.lines));
}

TEST(TrainingMemoryTest, PatienceKeepsTheBest) {
  EXPECT_EQ(Total({.patience = 3}, kSmallest) - Total({}, kSmallest), sizeof(float) * kRank16.trained);
}

TEST(TrainingMemoryTest, AVocabularyThatIsNotKnownIsTakenToBeLarge) {
  ModelFootprint model = HalfBillion();
  const uint64_t known = EstimateTrainingMemory(model, kRank16, {}, kSmallest).total();
  model.vocabulary = 0;
  EXPECT_GE(EstimateTrainingMemory(model, kRank16, {}, kSmallest).total(), known);
}

TEST(ChooseLayoutTest, TakesRowsBeforeLayersAndNeverMoreThanAllowed) {
  const TrainOptions options{.sequence_length = 512, .micro_batch = 8};
  uint32_t rows = 0, kept = 0;
  for (uint64_t allowed = 500'000'000; allowed < 4'000'000'000; allowed += 50'000'000) {
    const TrainerLayout layout = ChooseLayout(HalfBillion(), kRank16, options, ProductType::kBfloat16, allowed);
    EXPECT_GE(layout.rows, rows);
    if (layout.rows == rows) {
      EXPECT_GE(layout.kept_layers, kept);
    }
    const uint64_t total = Total(options, layout);
    if (total > allowed) {
      EXPECT_EQ(Total(options, kSmallest), total);  // the least there is
    }
    rows = layout.rows;
    kept = layout.kept_layers;
  }
  EXPECT_EQ(rows, 4u);  // 2,048 tokens
  EXPECT_EQ(kept, 24u);
}

TEST(ChooseLayoutTest, TakesNoMoreRowsThanAStepHas) {
  const auto rows = [](uint32_t micro_batch, uint32_t accumulate, uint32_t sequence) {
    const TrainOptions options{.sequence_length = sequence, .micro_batch = micro_batch, .accumulate = accumulate};
    return ChooseLayout(HalfBillion(), kRank16, options, ProductType::kFloat32, UINT64_MAX).rows;
  };
  EXPECT_EQ(rows(2, 1, 256), 2u);
  EXPECT_EQ(rows(2, 2, 256), 4u);
  EXPECT_EQ(rows(8, 2, 256), 8u);
  EXPECT_EQ(rows(8, 2, 4096), 1u);
}

TEST(WeightBlockRowsTest, DividesLargeMatricesEvenly) {
  EXPECT_EQ(WeightBlockRows(896, 896), 896u);
  EXPECT_EQ(WeightBlockRows(4864, 896), 4864u);
  EXPECT_EQ(WeightBlockRows(5632, 2048), 1878u);  // three
  EXPECT_EQ(WeightBlockRows(1, uint64_t{1} << 40), 1u);
}

}  // namespace
}  // namespace fleetune
