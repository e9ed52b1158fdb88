#include "lora/train/optimizer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "lora/plan/training_memory.h"

namespace fleetune {
namespace {

constexpr OptimizerKind kAllKinds[] = {OptimizerKind::kAdamW, OptimizerKind::kSgd, OptimizerKind::kAdaFactor};

// Two rows of three columns.
std::vector<float> Start() { return {1.0f, -2.0f, 0.5f, 0.25f, 3.0f, -1.0f}; }
std::vector<float> GradientOf(int step) {
  const auto t = static_cast<float>(step);
  return {0.5f / t, -3.0f, 0.001f * t, 2.0f, 0.0f, -0.25f * t};
}
std::vector<TrainedMatrix> OneMatrix() { return {{.offset = 0, .rows = 2, .columns = 3}}; }

std::vector<float> AfterFourSteps(const TrainOptions& options) {
  Optimizer optimizer(options, OneMatrix());
  std::vector<float> weights = Start();
  for (int step = 1; step <= 4; ++step) optimizer.Step(0.01, GradientOf(step), weights);
  return weights;
}

void ExpectNear(const std::vector<float>& values, const std::vector<float>& expected) {
  ASSERT_EQ(values.size(), expected.size());
  for (size_t i = 0; i < values.size(); ++i) EXPECT_NEAR(values[i], expected[i], 2e-6f) << i;
}

// The four expected lists: torch.optim.AdamW and SGD of PyTorch 1.13.1, and Adafactor of transformers 4.46.3 with
// scale_parameter and relative_step off, on the same start and gradients with a rate of 0.01.
TEST(OptimizerTest, AdamWMovesAsPyTorchs) {
  ExpectNear(AfterFourSteps({.weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-6}),
             {0.95972049f, -1.9520721f, 0.45932356f, 0.20906152f, 2.988018f, -0.95730281f});
}

TEST(OptimizerTest, SgdMovesAsPyTorchs) {
  ExpectNear(AfterFourSteps({.optimizer = OptimizerKind::kSgd, .momentum = 0.9}),
             {0.97161335f, -1.7285299f, 0.49981442f, 0.069020011f, 3.0f, -0.95360249f});
}

TEST(OptimizerTest, AdaFactorMovesAsTransformers) {
  ExpectNear(AfterFourSteps({.optimizer = OptimizerKind::kAdaFactor, .weight_decay = 0.1}),
             {0.99090713f, -1.9527938f, 0.49781328f, 0.19259858f, 2.988018f, -0.92678237f});
}

TEST(OptimizerTest, SgdWithoutMomentumIsPlainDescent) {
  Optimizer optimizer({.optimizer = OptimizerKind::kSgd, .weight_decay = 0.5, .momentum = 0}, OneMatrix());
  EXPECT_TRUE(optimizer.state().empty());
  std::vector<float> weights = Start();
  optimizer.Step(0.1, GradientOf(1), weights);
  ExpectNear(weights, {0.95f - 0.05f, -1.9f + 0.3f, 0.475f - 0.0001f, 0.2375f - 0.2f, 2.85f, -0.95f + 0.025f});
}

// The second moment of a gradient that is a product of a row's and a column's part is exact, so all move alike.
TEST(OptimizerTest, AdaFactorMovesAllAlikeWhereTheGradientIsAProduct) {
  const std::vector<float> gradient = {1.0f, 10.0f, -100.0f, 1e-3f, 1e-2f, -0.1f};
  Optimizer optimizer({.optimizer = OptimizerKind::kAdaFactor}, OneMatrix());
  std::vector<float> weights(6, 0.0f);
  optimizer.Step(0.5, gradient, weights);
  ExpectNear(weights, {-0.5f, -0.5f, 0.5f, -0.5f, -0.5f, 0.5f});
}

// No gradient in the first step, a jump in the second: longer than one, so it is clipped.
TEST(OptimizerTest, AdaFactorClipsLongUpdatesAndStandsStillWithoutAGradient) {
  Optimizer optimizer({.optimizer = OptimizerKind::kAdaFactor}, OneMatrix());
  std::vector<float> weights = Start();
  optimizer.Step(0.01, std::vector<float>(6, 0.0f), weights);
  EXPECT_EQ(weights, Start());
  optimizer.Step(0.01, std::vector<float>(6, 2.0f), weights);
  for (size_t i = 0; i < weights.size(); ++i) EXPECT_NEAR(weights[i], Start()[i] - 0.01f, 1e-6f);
}

TEST(OptimizerTest, GoesOnBitForBitFromItsState) {
  const std::vector<TrainedMatrix> matrices = {{.offset = 0, .rows = 1, .columns = 4},
                                               {.offset = 4, .rows = 1, .columns = 2}};
  for (const OptimizerKind kind : kAllKinds) {
    const TrainOptions options{.optimizer = kind, .weight_decay = 0.01};
    Optimizer whole(options, matrices), first(options, matrices), second(options, matrices);
    std::vector<float> expected = Start(), weights = Start();
    for (int step = 1; step <= 7; ++step) whole.Step(0.1 / step, GradientOf(step), expected);
    for (int step = 1; step <= 3; ++step) first.Step(0.1 / step, GradientOf(step), weights);
    second.GoOnFrom(3, {first.state().begin(), first.state().end()});
    for (int step = 4; step <= 7; ++step) second.Step(0.1 / step, GradientOf(step), weights);
    EXPECT_EQ(weights, expected);
    EXPECT_TRUE(std::ranges::equal(second.state(), whole.state()));
  }
}

// A matrix learns what it would learn alone.
TEST(OptimizerTest, MatricesDoNotKnowEachOther) {
  for (const OptimizerKind kind : kAllKinds) {
    Optimizer alone({.optimizer = kind}, OneMatrix());
    Optimizer both({.optimizer = kind},
                   {{.offset = 0, .rows = 2, .columns = 3}, {.offset = 6, .rows = 3, .columns = 1}});
    std::vector<float> weights = Start(), more = Start();
    more.insert(more.end(), 3, 1.0f);
    std::vector<float> gradient = GradientOf(2);
    alone.Step(0.1, gradient, weights);
    gradient.insert(gradient.end(), 3, 9.0f);
    both.Step(0.1, gradient, more);
    more.resize(6);
    EXPECT_EQ(more, weights);
  }
}

// A matrix of a rate of its own moves as with that learning rate, decay included.
TEST(OptimizerTest, RatesOfMatricesMultiplyTheLearningRate) {
  for (const OptimizerKind kind : kAllKinds) {
    const TrainOptions options{.optimizer = kind, .weight_decay = 0.1};
    Optimizer fast(options, OneMatrix());
    Optimizer own(options, {{.offset = 0, .rows = 2, .columns = 3, .rate = 16}});
    std::vector<float> expected = Start(), weights = Start();
    for (int step = 1; step <= 3; ++step) {
      fast.Step(0.16, GradientOf(step), expected);
      own.Step(0.01, GradientOf(step), weights);
    }
    EXPECT_EQ(weights, expected);
  }
}

TEST(OptimizerTest, WhatDoesNotDecayMovesAsWithoutDecay) {
  for (const OptimizerKind kind : kAllKinds) {
    Optimizer without({.optimizer = kind}, OneMatrix());
    Optimizer own({.optimizer = kind, .weight_decay = 0.1}, {{.offset = 0, .rows = 2, .columns = 3, .decays = false}});
    std::vector<float> expected = Start(), weights = Start();
    for (int step = 1; step <= 3; ++step) {
      without.Step(0.1, GradientOf(step), expected);
      own.Step(0.1, GradientOf(step), weights);
    }
    EXPECT_EQ(weights, expected);
  }
}

TEST(OptimizerTest, RemembersAsMuchAsMemoryIsPlannedFor) {
  for (const bool dora : {false, true}) {
    const AdapterSpec spec = *AdapterSpec::Create(
        {.rank = 4, .alpha = 8, .targets = {Projection::kQ, Projection::kDown}, .dora = dora},
        {.layers = 3, .projections = {{{16, 16}, {}, {}, {}, {}, {}, {48, 16}}}});
    for (const OptimizerKind kind : kAllKinds) {
      for (const double momentum : {0.0, 0.9}) {
        for (const Factors factors : {Factors::kB, Factors::kA, Factors::kBoth}) {
          const TrainOptions options{.optimizer = kind, .momentum = momentum, .factors = factors};
          const Optimizer optimizer(options, TrainedMatrices(spec, options));
          EXPECT_EQ(optimizer.state().size(), OptimizerFloats(options, AdapterOf(spec, factors)));
        }
      }
    }
  }
}

}  // namespace
}  // namespace fleetune
