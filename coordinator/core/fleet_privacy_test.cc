// What sums with noise cost a fleet: charged with the view, whatever is killed, and a limit that ends the rounds.

#include <memory>
#include <string>
#include <vector>

#include "aggregation/privacy/privacy_charge.h"
#include "aggregation/privacy/rdp_accountant.h"
#include "coordinator/core/fleet.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/plan/cell_noise.h"
#include "lora/plan/update_options.h"
#include "tests/support/cell_device.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using testing::HasSubstr;

constexpr auto kInvalid = absl::StatusCode::kInvalidArgument;
constexpr uint32_t kDevices = 5;

std::string NoisyTask(const std::string& privacy = "noise_multiplier = 2.0\ndevice_epsilon_limit = 6\n",
                      const std::string& secure = "") {
  std::string toml = SmallTask();
  toml.replace(toml.find("\"off\""), 5, "\"semi-honest\"");
  toml.replace(toml.find("invited = 3\nneeded = 2"), 22, "invited = 5\nneeded = 5");
  return toml +
         "[secure]\nseat_seconds = 10\nshare_seconds = 10\ninput_seconds = 10\nview_seconds = 10\n"
         "unmask_seconds = 10\n" +
         secure + "[privacy]\n" + privacy;
}

class FleetPrivacyTest : public ::testing::Test {
 protected:
  void Begin(const std::string& toml = NoisyTask()) {
    small.AddTask(toml);
    for (uint32_t i = 0; i < kDevices; ++i) devices.push_back(std::make_unique<CellDevice>(small));
  }
  void StartRound() {
    round = small.StartRound();
    counted.clear();
    for (const auto& device : devices) ASSERT_EQ(small.CheckIn(device->id()), round);
  }
  RingVector Input() const {
    const EncodingOptions options = UpdateOptions(Task().spec.plan, SmallFleet::kParameters, round).value();
    SplitMix64 rounding(7);
    const std::vector<float> values(SmallFleet::kParameters, 0.01f);
    return UpdateEncoder::Create(options)->Encode({.values = values, .weight = 1}, rounding)->ring;
  }
  // Steps of all devices in turn until `state` is that of the round's last cell, or each has heard that it is counted.
  void RunTo(const std::string& state) {
    counted.resize(devices.size());
    for (int turn = 0; turn < 60; ++turn) {
      for (size_t i = 0; i < devices.size(); ++i) {
        const RoundView view = small.fleet->Round(round).value();
        if (!view.cells.empty() && view.cells.back().state == state) return;
        if (counted[i]) continue;
        const absl::StatusOr<bool> done = devices[i]->Step(*small.fleet, round, Input(), small.random);
        counted[i] = done.ok() && *done;
      }
    }
  }
  void FinishRound() {
    RunTo("");
    ASSERT_EQ(small.fleet->Round(round)->state, "done") << small.fleet->Round(round)->reason;
  }
  TaskView Task() const { return small.fleet->Tasks("home").value().at(0); }
  SkellamPlan Noise() const { return PlanNoise(Task().spec.plan, SmallFleet::kParameters).value(); }

  SmallFleet small;
  std::vector<std::unique_ptr<CellDevice>> devices;
  std::vector<bool> counted;
  std::string round;
};

TEST_F(FleetPrivacyTest, EachRoundCostsADeviceOneCell) {
  Begin();
  EXPECT_EQ(Task().privacy->epsilon, 0);
  EXPECT_THAT(Task().protection, HasSubstr("differential privacy: noise of 2 times the most that one device adds"));
  for (uint32_t number = 1; number <= 2; ++number) {
    StartRound();
    EXPECT_EQ(small.fleet->Round(round)->charged_cells, 0u);
    FinishRound();
    const PrivacyView spent = *Task().privacy;
    EXPECT_EQ(spent.cells, number);
    EXPECT_NEAR(spent.epsilon, EpsilonOfSkellam(Noise().release, number, 1e-6)->epsilon, 1e-9);
    EXPECT_LE(spent.outsider_epsilon, spent.epsilon);
    EXPECT_NEAR(spent.cell_epsilon, EpsilonOfSkellam(Noise().release, 1, 1e-6)->epsilon, 1e-9);
    const RoundView view = small.fleet->Round(round).value();
    EXPECT_EQ(view.charged_cells, 1u);
    EXPECT_EQ(view.privacy->cells, number);
    EXPECT_NEAR(view.total_weight, kDevices, 1e-9) << "weights have no noise";
  }
}

TEST_F(FleetPrivacyTest, TheViewIsChargedWithItselfAndOnce) {
  Begin();
  StartRound();
  RunTo("collecting");
  EXPECT_EQ(Task().privacy->cells, 0u);
  RunTo("unmasking");
  EXPECT_EQ(Task().privacy->cells, 1u);
  small.Reopen();
  EXPECT_EQ(Task().privacy->cells, 1u);
  FinishRound();
  EXPECT_EQ(Task().privacy->cells, 1u);
  const auto charges = small.memory.CellCharges("home").value();
  ASSERT_EQ(charges.size(), 1u);
  EXPECT_EQ(charges[0].round, round);
  const auto charge = DecodePrivacyCharge(charges[0].charge);
  ASSERT_THAT(charge, IsOk());
  EXPECT_EQ(charge->task, "home");
  EXPECT_EQ(charge->release.variance, Noise().release.variance);
  EXPECT_EQ(charge->release.sampling_rate, 1) << "all of the fleet's devices are in it";
}

TEST_F(FleetPrivacyTest, ACellThatFailsAfterItsViewIsPaidFor) {
  Begin();
  StartRound();
  RunTo("unmasking");
  small.clock.now += std::chrono::hours(1);
  ASSERT_THAT(small.fleet->Tick(), IsOk());
  EXPECT_EQ(small.fleet->Round(round)->state, "aborted");
  EXPECT_EQ(Task().privacy->cells, 1u);
}

TEST_F(FleetPrivacyTest, NoRoundStartsThatCouldPassTheLimit) {
  Begin();
  int rounds = 0;
  while (Task().privacy->no_round.empty()) {
    StartRound();
    FinishRound();
    ASSERT_LT(++rounds, 20);
  }
  EXPECT_GE(rounds, 2);
  const PrivacyView spent = *Task().privacy;
  EXPECT_LE(spent.epsilon, 6);
  EXPECT_GT(EpsilonOfSkellam(Noise().release, spent.cells + 1, 1e-6)->epsilon, 6);
  EXPECT_THAT(spent.no_round, HasSubstr("one more would bring it to"));
  EXPECT_THAT(small.fleet->StartRound("ann", "home"),
              HasStatus(absl::StatusCode::kFailedPrecondition, "no further round starts: a device has spent epsilon"));
  EXPECT_EQ(Task().open_round, "");
}

TEST_F(FleetPrivacyTest, ATaskWithoutNoiseHasNoLedger) {
  small.AddTask();
  EXPECT_FALSE(Task().privacy.has_value());
  EXPECT_THAT(Task().protection, HasSubstr("no differential privacy"));
}

TEST_F(FleetPrivacyTest, TasksThatCannotHaveNoiseAreRefused) {
  ASSERT_THAT(small.fleet->AddModel("ann", SmallModel()), IsOk());
  const auto refused = [&](const std::string& toml, const char* words) {
    EXPECT_THAT(small.fleet->CreateTask("ann", toml), HasStatus(kInvalid, words));
  };
  refused(SmallTask() + "[privacy]\nnoise_multiplier = 1.0\n", "where secure_aggregation is off");
  refused(NoisyTask("noise_multiplier = 1.0\ndevice_epsilon_limit = 2\n"), "a noise_multiplier of 2.4");
  refused(NoisyTask("noise_multiplier = 1.0\n", "min_cohort = 5\n"), "min_survivors: expected at least");
  refused(NoisyTask("noise_multiplier = 1000.0\n"), "noise_multiplier is 1000");
  std::string narrow = NoisyTask("noise_multiplier = 30.0\nrounding_overhead = 0.0001\n");
  narrow.replace(narrow.find("lane_bits = 32"), 14, "lane_bits = 16");
  refused(narrow, "24 bits would do");
  std::string weighted = NoisyTask();
  weighted.replace(weighted.find("lane_bits = 32"), 14, "lane_bits = 32\nmax_weight = 9.0");
  refused(weighted, "max_weight: expected 1");
  EXPECT_THAT(small.fleet->CreateTask("ann", NoisyTask()), IsOk());
}

}  // namespace
}  // namespace fleetune
