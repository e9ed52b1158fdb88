#include "tools/sim/fleet_run.h"

#include <cmath>

#include "aggregation/encode/encoding_options.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/support/status_matchers.h"
#include "tests/support/tiny_llama.h"
#include "tools/sim/quadratic_trainer.h"

namespace fleetune {
namespace {

using absl::StatusCode;
using testing::Each;
using testing::FloatNear;

absl::StatusOr<SimTask> TinySimTask(const std::string& toml, bool masks = false) {
  return SimTaskOver(TinyLlama{}.ToBytes(), toml, masks);
}

FleetResult RunDevices(const std::string& toml, int devices, const FleetRunOptions& options, bool masks = false) {
  QuadraticTrainer trainer;
  const auto task = TinySimTask(toml, masks);
  EXPECT_THAT(task, IsOk());
  uint32_t calls = 0;
  auto result = RunFleet(*task, QuadraticData(devices), trainer, options,
                         [&](const RoundResult& round) { EXPECT_EQ(round.number, ++calls); });
  EXPECT_THAT(result, IsOk());
  EXPECT_EQ(calls, options.rounds);
  return *std::move(result);
}

double ValueOf(const FleetResult& result) { return result.adapter.b().front(); }

TEST(FleetRunTest, EachRoundCountsTheDevicesThatTheCoreTook) {
  const FleetResult result = RunDevices(QuadraticTask(3, ""), 8, {.rounds = 4});
  ASSERT_EQ(result.rounds.size(), 4u);
  const uint64_t values = result.adapter.spec().b_size();
  for (const RoundResult& round : result.rounds) {
    EXPECT_EQ(round.counted, 3u);
    EXPECT_EQ(round.bytes_up, 3 * 4 * (values + 1 + kTelemetryElements));
    EXPECT_EQ(round.tokens, 3 * 20 * QuadraticTrainer::kTokensAStep);
    EXPECT_GT(round.seconds, 0);
  }
  EXPECT_EQ(result.rounds[0].bytes_down, 0u);  // version 0 does not travel
  EXPECT_GT(result.rounds[1].bytes_down, 0u);
  EXPECT_EQ(result.tokens(), 4 * result.rounds[0].tokens);
}

TEST(FleetRunTest, TheSameSeedGivesTheSameAdapter) {
  const auto bits = [](uint64_t seed) {
    const FleetResult result = RunDevices(QuadraticTask(3, ""), 8, {.rounds = 3, .seed = seed});
    return std::vector<float>(result.adapter.b().begin(), result.adapter.b().end());
  };
  EXPECT_EQ(bits(1), bits(1));
  EXPECT_NE(bits(1), bits(2));  // other devices
}

// Devices with different curvature, many local steps: the average of where they go is not where their mean loss is
// least. FedAvg ends there all the same; SCAFFOLD does not. All of it over encoded updates and the coordinator's store.
TEST(FleetRunTest, ScaffoldReachesTheOptimumThatFedAvgMisses) {
  const SimData data = QuadraticData(4);
  const double optimum = QuadraticTrainer::OptimumOf(data.held_out);
  const double averaged = ValueOf(RunDevices(QuadraticTask(4, ""), 4, {.rounds = 60}));
  EXPECT_GT(std::abs(averaged - optimum), 0.05);
  const FleetResult controlled = RunDevices(QuadraticTask(4, "control_variates = true"), 4, {.rounds = 60});
  EXPECT_NEAR(ValueOf(controlled), optimum, 0.005);
  // The price: twice as many values up, and four bytes a value down.
  const uint64_t values = controlled.adapter.spec().b_size();
  EXPECT_EQ(controlled.rounds[0].bytes_up, 4 * 4 * (2 * values + 1 + kTelemetryElements));
  EXPECT_GT(controlled.rounds[2].bytes_down, 4 * values * sizeof(float));
}

TEST(FleetRunTest, ScaffoldAlsoWithSomeOfTheDevicesARound) {
  const double optimum = QuadraticTrainer::OptimumOf(QuadraticData(6).held_out);
  const FleetResult controlled = RunDevices(QuadraticTask(3, "control_variates = true"), 6, {.rounds = 150});
  EXPECT_NEAR(ValueOf(controlled), optimum, 0.01);
}

TEST(FleetRunTest, EachFactorHasItsOwnControlVariates) {
  const auto optimum = FloatNear(static_cast<float>(QuadraticTrainer::OptimumOf(QuadraticData(4).held_out)), 0.02f);
  for (const char* trained : {"alternating", "factors"}) {
    std::string toml = QuadraticTask(4, "control_variates = true");
    toml.replace(toml.find("rank = 2"), 8, std::string("rank = 2\ntrained = \"") + trained + "\"");
    const FleetResult result = RunDevices(toml, 4, {.rounds = 120});
    EXPECT_THAT(result.adapter.a(), Each(optimum)) << trained;
    EXPECT_THAT(result.adapter.b(), Each(optimum)) << trained;
  }
}

TEST(FleetRunTest, ProximalHoldsDevicesBack) {
  const double free = ValueOf(RunDevices(QuadraticTask(4, ""), 4, {.rounds = 1}));
  const double held = ValueOf(RunDevices(QuadraticTask(4, "proximal = 5"), 4, {.rounds = 1}));
  EXPECT_LT(std::abs(held), 0.6 * std::abs(free));
  // And brings the fixed point nearer to the optimum.
  const double optimum = QuadraticTrainer::OptimumOf(QuadraticData(4).held_out);
  const double averaged = ValueOf(RunDevices(QuadraticTask(4, ""), 4, {.rounds = 60}));
  const double proximal = ValueOf(RunDevices(QuadraticTask(4, "proximal = 5"), 4, {.rounds = 60}));
  EXPECT_LT(std::abs(proximal - optimum), 0.5 * std::abs(averaged - optimum));
}

TEST(FleetRunTest, MasksChangeNothingButRounding) {
  for (const char* secure : {"semi-honest", "malicious"}) {
    const std::string toml = QuadraticTask(4, "control_variates = true", "", secure);
    const FleetResult plain = RunDevices(toml, 4, {.rounds = 3});
    const FleetResult masked = RunDevices(toml, 4, {.rounds = 3}, /*masks=*/true);
    EXPECT_NEAR(ValueOf(masked), ValueOf(plain), 1e-4) << secure;
    EXPECT_EQ(masked.rounds.back().counted, 4u);
    EXPECT_GE(masked.rounds.back().bytes_up, plain.rounds.back().bytes_up);
  }
}

TEST(FleetRunTest, ARoundWithoutAVersionIsNamed) {
  QuadraticTrainer trainer;
  // 20 steps of 100 tokens take the fastest device a second, the slowest ten; these take a hundred times as long.
  const auto task = TinySimTask(QuadraticTask(3, "", "deadline_seconds = 10\n"));
  ASSERT_THAT(task, IsOk());
  SimTask slow = *task;
  slow.toml.replace(slow.toml.find("steps = 20"), 10, "steps = 2000");
  EXPECT_THAT(RunFleet(slow, QuadraticData(3), trainer, {.rounds = 1}, [](const RoundResult&) {}),
              HasStatus(StatusCode::kFailedPrecondition, "round t-1 made no version"));
}

}  // namespace
}  // namespace fleetune
