#include "lora/train/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>

namespace fleetune {
namespace {

std::vector<TokenExample> ExamplesOfSizes(const std::vector<size_t>& sizes) {
  std::vector<TokenExample> examples;
  for (const size_t size : sizes) {
    examples.push_back({.tokens = std::vector<int32_t>(size, 1), .loss = std::vector<bool>(size, true)});
  }
  return examples;
}

std::vector<uint32_t> InOrder(size_t count) {
  std::vector<uint32_t> order(count);
  std::iota(order.begin(), order.end(), 0u);
  return order;
}

TEST(PackExamplesTest, FillsRowsInOrderAndGoesBackForSmallOnes) {
  const auto examples = ExamplesOfSizes({6, 5, 4, 10, 5});
  const auto rows = PackExamples(examples, InOrder(5), 10);
  EXPECT_EQ(rows, (std::vector<PackedRow>{{0, 2}, {1, 4}, {3}}));
}

TEST(PackExamplesTest, EachExampleIsInExactlyOneRowThatHoldsIt) {
  std::vector<size_t> sizes;
  for (size_t i = 0; i < 500; ++i) sizes.push_back(1 + i * 37 % 64);
  const auto examples = ExamplesOfSizes(sizes);
  std::multiset<uint32_t> seen;
  size_t tokens = 0;
  const auto rows = PackExamples(examples, InOrder(500), 64);
  for (const PackedRow& row : rows) {
    size_t used = 0;
    for (const uint32_t index : row) {
      used += sizes[index];
      seen.insert(index);
    }
    EXPECT_LE(used, 64u);
    tokens += used;
  }
  EXPECT_EQ(seen.size(), 500u);
  EXPECT_EQ(std::set<uint32_t>(seen.begin(), seen.end()).size(), 500u);
  EXPECT_LT(rows.size() * 64, tokens * 5 / 4);  // a fifth is wasted at most
}

TrainOptions Options(double epochs, uint32_t micro_batch, uint32_t accumulate) {
  TrainOptions options;
  options.epochs = epochs;
  options.sequence_length = 10;
  options.micro_batch = micro_batch;
  options.accumulate = accumulate;
  return options;
}

TEST(StepPlannerTest, EpochsReadEveryExampleAsOften) {
  const auto examples = ExamplesOfSizes(std::vector<size_t>(7, 8));  // one a row
  StepPlanner planner(examples, Options(3, 2, 2));
  ASSERT_EQ(planner.steps(), 6u);  // 21 rows, 4 a step
  std::vector<int> counts(7);
  size_t batches = 0;
  for (uint32_t step = 0; step < planner.steps(); ++step) {
    for (const PackedRow& batch : planner.Next()) {
      ++batches;
      for (const uint32_t index : batch) ++counts[index];
    }
  }
  EXPECT_EQ(counts, std::vector<int>(7, 3));
  EXPECT_EQ(batches, 11u);  // the last step has one row
}

TEST(StepPlannerTest, PartOfAnEpochReadsThatPart) {
  const auto examples = ExamplesOfSizes(std::vector<size_t>(10, 8));
  EXPECT_EQ(StepPlanner(examples, Options(0.5, 1, 1)).steps(), 5u);
  EXPECT_EQ(StepPlanner(examples, Options(1.25, 1, 1)).steps(), 13u);
  EXPECT_EQ(StepPlanner(examples, Options(0.001, 1, 1)).steps(), 1u);
}

TEST(StepPlannerTest, StepsAreAlwaysFull) {
  const auto examples = ExamplesOfSizes({8});
  TrainOptions options = Options(1, 3, 2);
  options.steps = 4;
  StepPlanner planner(examples, options);
  ASSERT_EQ(planner.steps(), 4u);
  for (uint32_t step = 0; step < 4; ++step) {
    const auto batches = planner.Next();
    ASSERT_EQ(batches.size(), 2u);
    EXPECT_EQ(batches[0], (PackedRow{0, 0, 0}));
  }
}

// A step has the same rows whatever passes it takes.
TEST(StepPlannerTest, PassesDivideTheSameRows) {
  const auto examples = ExamplesOfSizes(std::vector<size_t>(23, 10));
  for (const uint32_t rows_a_pass : {1u, 3u, 8u, 100u}) {
    StepPlanner usual(examples, Options(1, 2, 3));
    StepPlanner planner(examples, Options(1, 2, 3), rows_a_pass);
    ASSERT_EQ(planner.steps(), usual.steps());
    for (uint32_t step = 0; step < usual.steps(); ++step) {
      PackedRow expected, got;
      for (const PackedRow& pass : usual.Next()) expected.insert(expected.end(), pass.begin(), pass.end());
      const std::vector<PackedRow> passes = planner.Next();
      for (const PackedRow& pass : passes) got.insert(got.end(), pass.begin(), pass.end());
      EXPECT_EQ(got, expected);
      if (rows_a_pass >= 6) {
        EXPECT_EQ(passes.size(), 1u);
      }
    }
  }
}

TEST(StepPlannerTest, TheSeedAloneDecidesTheOrder) {
  const auto examples = ExamplesOfSizes(std::vector<size_t>(50, 8));
  const auto order = [&](uint64_t seed) {
    TrainOptions options = Options(1, 1, 1);
    options.seed = seed;
    StepPlanner planner(examples, options);
    std::vector<uint32_t> seen;
    for (uint32_t step = 0; step < planner.steps(); ++step) seen.push_back(planner.Next()[0][0]);
    return seen;
  };
  EXPECT_EQ(order(1), order(1));
  EXPECT_NE(order(1), order(2));
}

TEST(StepPlannerTest, PassesAreShuffledDifferently) {
  const auto examples = ExamplesOfSizes(std::vector<size_t>(50, 8));
  StepPlanner planner(examples, Options(2, 50, 1));
  EXPECT_NE(planner.Next(), planner.Next());
}

}  // namespace
}  // namespace fleetune
