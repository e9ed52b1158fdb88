#include "tools/sim/pooled_run.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"
#include "tools/sim/quadratic_trainer.h"

namespace fleetune {
namespace {

absl::StatusOr<SimTask> TinySimTask(const std::string& toml) {
  return SimTaskOver(TinyLlama{}.ToBytes(), toml, false);
}

TEST(PooledRunTest, TrainsOnAllTextsTogetherAtEachRate) {
  QuadraticTrainer trainer;
  const SimData data = QuadraticData(4);
  const auto task = TinySimTask(QuadraticTask(4, "proximal = 100\ncontrol_variates = true"));
  ASSERT_THAT(task, IsOk());
  uint32_t calls = 0;
  const auto results = RunPooled(*task, data, trainer, {.tokens = 80, .learning_rates = {0.0001, 0.1}},
                                 [&](const PooledResult&) { ++calls; });
  ASSERT_THAT(results, IsOk());
  ASSERT_EQ(results->size(), 2u);
  EXPECT_EQ(calls, 2u);
  EXPECT_EQ((*results)[0].learning_rate, 0.0001);
  EXPECT_LT((*results)[1].losses.held_out, (*results)[0].losses.held_out);
  EXPECT_EQ(BestOf(*results).learning_rate, 0.1);
  // Neither FedProx nor SCAFFOLD hold it back.
  const double optimum = QuadraticTrainer::OptimumOf(data.held_out);
  double least = 0;
  for (const TokenExample& example : data.held_out) {
    least += QuadraticTrainer::Curvature(example) / 2 * std::pow(optimum - QuadraticTrainer::Optimum(example), 2) / 4;
  }
  EXPECT_NEAR((*results)[1].losses.held_out, least, 1e-6);
}

TEST(PooledRunTest, WithoutRatesTheTasksIsTaken) {
  QuadraticTrainer trainer;
  const auto task = TinySimTask(QuadraticTask(2, ""));
  const auto results = RunPooled(*task, QuadraticData(2), trainer, {.tokens = 10}, [](const PooledResult&) {});
  ASSERT_THAT(results, IsOk());
  ASSERT_EQ(results->size(), 1u);
  EXPECT_EQ(results->front().learning_rate, 0.1);
}

TEST(PooledRunTest, TheTuningPartDecides) {
  const std::vector<PooledResult> results = {{.learning_rate = 1, .losses = {.held_out = 1, .tuning = 3}, .tokens = 1},
                                             {.learning_rate = 2, .losses = {.held_out = 2, .tuning = 2}, .tokens = 1}};
  EXPECT_EQ(BestOf(results).learning_rate, 2);
}

}  // namespace
}  // namespace fleetune
