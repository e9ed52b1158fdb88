// Whole devices in cells against the coordinator's real sessions: agent, performers, and a disk that outlives kill -9.

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "client/app/cell_fixture.h"
#include "client/app/cell_performer.h"
#include "client/app/state_json.h"
#include "client/app/step_performer.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "lora/plan/cell_noise.h"

namespace fleetune {
namespace {

using cell_fixture::CellOrder;
using cell_fixture::CellPlan;
using cell_fixture::FakeRound;
using cell_fixture::Killed;
using cell_fixture::KillSwitch;
using cell_fixture::kParameters;
using cell_fixture::MemoryCharges;
using cell_fixture::MemoryPayloads;
using cell_fixture::RoundLink;

// A device whose update is trained and encoded.
class Device {
 public:
  Device(uint32_t number, const TrainingPlan& plan, FakeRound* round, RandomSource* random)
      : identity_("device-" + std::to_string(number)),
        round_(round),
        random_(random),
        link_(round, identity_.peer(), &kill, random) {
    RingVector& input = round->inputs[identity_.name];
    input.resize(cell_fixture::ConfigOf(plan, 3).dimension);
    for (uint32_t& element : input) element = static_cast<uint32_t>(random->Below(1 << 16));
    const Bytes update = PackLanes(input, LaneBits::k16);
    CHECK(payloads.Put(Sha256(update), update).ok());
    DeviceState state;
    state.pending = PendingUpdate{.order = CellOrder(),
                                  .plan = FormatTrainingPlan(plan),
                                  .sha256 = Sha256(update),
                                  .size = update.size(),
                                  .parameters = kParameters,
                                  .examples = 7,
                                  .seat = {},
                                  .ended_cell = {}};
    disk_ = FormatDeviceState(state);
    Restart();
  }

  void Restart() {
    performer_.reset();
    cells_ = std::make_unique<CellPerformer>(CellPorts{.link = &link_, .payloads = &payloads, .random = random_, .books = &books},
                                             CellSettings{.release_key = round_->release_key().verify_key(),
                                                          .policy = {},
                                                          .identity = identity_.identity(),
                                                          .verify_peer = secagg::ReadTestCertificate});
    performer_ = std::make_unique<StepPerformer>(
        StepPorts{.link = &link_, .payloads = &payloads, .random = random_, .cells = cells_.get(), .books = &books},
        StepSettings{.downloads = {},
                     .trainer = {},
                     .release_key = round_->release_key().verify_key(),
                     .warn = [](const std::string&) {}});
    agent_ = std::make_unique<Agent>(ParseDeviceState(disk_).value(), AgentOptions{}, random_);
    events_ = {AgentStarted{.served = {}, .models = {}, .conditions = agent_fixture::GoodConditions()}};
    wait_until_ = {};
  }

  // One decision, and what follows.
  void Step(TimePoint now) {
    if (now < wait_until_) return;
    try {
      const AgentDecision decision = agent_->Apply(events_, now);
      events_.clear();
      kill.Point();
      disk_ = FormatDeviceState(agent_->state());
      kill.Point();
      CHECK(payloads.KeepOnly(PayloadsOf(agent_->state())).ok());
      kill.Point();
      notes.insert(notes.end(), decision.notes.begin(), decision.notes.end());
      Perform(decision.step);
      kill.Point();
    } catch (const Killed&) {
      Restart();
    }
  }

  bool Ended() const { return !agent_->state().pending.has_value(); }
  bool Counted() const { return Ended() && agent_->state().settled.back().end == RoundEnd::kCounted; }
  TimePoint wait_until() const { return wait_until_; }
  const std::string& name() const { return identity_.name; }
  RoundLink& link() { return link_; }

  KillSwitch kill;
  MemoryPayloads payloads{&kill};
  MemoryCharges charges{&kill};
  cell_fixture::StillClock clock;
  PrivacyBooks books{&charges, &clock, {.epsilon = 50, .delta = 1e-6}};
  std::vector<std::string> notes;

 private:
  void Perform(const AgentStep& step) {
    if (const auto* wait = std::get_if<WaitUntil>(&step)) {
      wait_until_ = wait->time;
      events_ = {Woke{}};
    } else if (std::holds_alternative<CheckInNow>(step)) {
      RoundCall call = agent_fixture::CallTo("t-1", 0);
      events_ = {CheckInAnswered{.next_check_in = std::chrono::hours(1), .tasks = {}, .invitation = call}};
    } else {
      events_ = {*performer_->Perform(step, {})};
    }
  }

  secagg::TestDevice identity_;
  FakeRound* round_;
  RandomSource* random_;
  RoundLink link_;
  std::string disk_;
  std::unique_ptr<CellPerformer> cells_;
  std::unique_ptr<StepPerformer> performer_;
  std::unique_ptr<Agent> agent_;
  std::vector<AgentEvent> events_;
  TimePoint wait_until_;
};

class Simulation {
 public:
  Simulation(SecureMode mode, uint32_t count, uint64_t seed) : Simulation(CellPlan(mode), count, seed) {}
  Simulation(const TrainingPlan& plan, uint32_t count, uint64_t seed) : random_(seed), round(plan, count) {
    for (uint32_t i = 0; i < count; ++i) {
      devices.push_back(std::make_unique<Device>(i, plan, &round, &random_));
      devices.back()->kill = {};
    }
  }

  // Until each device is done with the round.
  void Run() {
    for (int steps = 0; !Done(); ++steps) {
      ASSERT_LT(steps, 200'000) << "the round gets nowhere";
      for (const auto& device : devices) {
        if (!device->Ended()) device->Step(round.now);
      }
      if (testing::Test::HasFailure()) return;
      round.Tick(round.now + std::chrono::milliseconds(20));
    }
  }

  bool Done() const {
    return std::ranges::all_of(devices, [](const auto& device) { return device->Ended(); });
  }
  size_t Counted() const {
    return static_cast<size_t>(std::ranges::count_if(devices, [](const auto& device) { return device->Counted(); }));
  }

 private:
  SplitMix64 random_;

 public:
  FakeRound round;
  std::vector<std::unique_ptr<Device>> devices;
};

class CellSimTest : public testing::TestWithParam<SecureMode> {};

TEST_P(CellSimTest, AllAreInOneSum) {
  Simulation simulation(GetParam(), 5, 1);
  simulation.Run();
  EXPECT_EQ(simulation.Counted(), 5u);
  EXPECT_EQ(simulation.round.cells.size(), 1u);
  EXPECT_EQ(simulation.round.counted.size(), 5u);
  const std::string notes = testing::PrintToString(simulation.devices[0]->notes);
  EXPECT_THAT(notes, testing::HasSubstr("sending the masked update of 20 parameters trained on 7 examples for task t, "
                                        "round t-1, cell t-1.1"));
  EXPECT_THAT(notes, testing::HasSubstr("only in a sum of at least 3 devices"));
  EXPECT_TRUE(simulation.devices[0]->payloads.files.empty()) << "nothing secret is left";
}

// Killed before and after each write and each call of a device: it goes on with the same session, in the same cell.
TEST_P(CellSimTest, AKillAnywhereChangesNothing) {
  for (int at = 0;; ++at) {
    Simulation simulation(GetParam(), 3, 1);
    KillSwitch& kill = simulation.devices[1]->kill;
    kill.at = at;
    simulation.Run();
    ASSERT_FALSE(testing::Test::HasFailure()) << "killed at point " << at;
    EXPECT_EQ(simulation.Counted(), 3u) << "killed at point " << at;
    EXPECT_EQ(simulation.round.cells.size(), 1u) << "killed at point " << at;
    if (kill.points <= at) {
      EXPECT_GT(at, 40) << "there are many points";
      return;
    }
  }
}

// Lost and repeated calls, devices that are killed and stay away: what is counted is right, and nobody says two things.
TEST_P(CellSimTest, HostileNetworksAndKillsGiveRightSumsOrNone) {
  size_t counted = 0;
  for (uint64_t seed = 0; seed < 20; ++seed) {
    Simulation simulation(GetParam(), 6, seed);
    SplitMix64 random(seed + 1000);
    for (const auto& device : simulation.devices) {
      device->link().lost_percent = 10;
      device->kill.at = static_cast<int>(random.Below(60));
      device->kill.again = 20 + static_cast<int>(random.Below(60));
    }
    simulation.Run();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    counted += simulation.Counted();
    for (const auto& device : simulation.devices) {
      if (device->Counted()) {
        EXPECT_TRUE(simulation.round.counted.contains(device->name())) << "seed " << seed;
      }
    }
  }
  EXPECT_GT(counted, 20u * 6 / 2);
}

// The opened sum has the noise of all who are in it, of the variance that the plan says, and nothing else.
TEST_P(CellSimTest, SumsHaveTheNoiseThatIsAccountedFor) {
  constexpr uint32_t kDevices = 5;
  const TrainingPlan plan = CellPlan(GetParam(), 1.5);
  const SkellamPlan planned = PlanNoise(plan, kParameters).value();
  const CellShape cell = ShapeOf(plan, kParameters, kDevices);
  const double variance =
      kDevices * static_cast<double>(DeviceVariance(PrivacyOf(plan), cell, planned.scale));
  EXPECT_GE(variance, planned.release.variance);
  std::vector<int64_t> noise;
  for (uint64_t seed = 0; seed < 50; ++seed) {
    Simulation simulation(plan, kDevices, seed);
    simulation.Run();
    ASSERT_EQ(simulation.Counted(), kDevices);
    noise.insert(noise.end(), simulation.round.noise.begin(), simulation.round.noise.end());
    for (const auto& device : simulation.devices) {
      ASSERT_EQ(device->charges.charges.size(), 1u);
      EXPECT_EQ(device->charges.charges[0].release, planned.release);
    }
  }
  ASSERT_EQ(noise.size(), 50 * kParameters);
  double mean = 0, squares = 0, fourth = 0;
  for (const int64_t value : noise) {
    const double x = static_cast<double>(value);
    mean += x / static_cast<double>(noise.size());
    squares += x * x / static_cast<double>(noise.size());
    fourth += x * x * x * x / static_cast<double>(noise.size());
  }
  // Five standard deviations of each: 1000 draws of nearly Gaussian noise.
  EXPECT_NEAR(mean, 0, 5 * std::sqrt(variance / 1000));
  EXPECT_NEAR(squares / variance, 1, 5 * std::sqrt(2.0 / 1000));
  EXPECT_NEAR(fourth / (3 * variance * variance), 1, 5 * std::sqrt(96.0 / 9 / 1000));
}

// Killed at any write and call, that of the charge among them: charged once for what was sent, and never sent uncharged.
TEST_P(CellSimTest, AKillAnywhereChargesEachCellOnceAndSendsNothingUncharged) {
  const TrainingPlan plan = CellPlan(GetParam(), 1);
  for (int at = 0;; ++at) {
    Simulation simulation(plan, 3, 1);
    Device& device = *simulation.devices[1];
    device.kill.at = at;
    simulation.Run();
    ASSERT_FALSE(testing::Test::HasFailure()) << "killed at point " << at;
    EXPECT_EQ(simulation.Counted(), 3u) << "killed at point " << at;
    EXPECT_EQ(simulation.round.masked[device.name()].size(), 1u) << "killed at point " << at;
    EXPECT_EQ(device.charges.charges.size(), 1u) << "killed at point " << at;
    if (device.kill.points <= at) {
      EXPECT_GT(at, 40) << "there are many points";
      return;
    }
  }
}

TEST_P(CellSimTest, HostileNetworksAndKillsSendNothingUncharged) {
  for (uint64_t seed = 0; seed < 10; ++seed) {
    Simulation simulation(CellPlan(GetParam(), 1), 6, seed);
    SplitMix64 random(seed + 1000);
    for (const auto& device : simulation.devices) {
      device->link().lost_percent = 10;
      device->kill.at = static_cast<int>(random.Below(60));
      device->kill.again = 20 + static_cast<int>(random.Below(60));
    }
    simulation.Run();
    ASSERT_FALSE(testing::Test::HasFailure()) << "seed " << seed;
    for (const auto& device : simulation.devices) {
      EXPECT_GE(device->charges.charges.size(), simulation.round.masked[device->name()].size()) << "seed " << seed;
      EXPECT_LE(device->charges.charges.size(), simulation.round.cells.size()) << "seed " << seed;
    }
  }
}

TEST_P(CellSimTest, ADeviceAtItsLimitDeclines) {
  Simulation simulation(CellPlan(GetParam(), 1), 4, 1);
  Device& spent = *simulation.devices[2];
  spent.books = PrivacyBooks(&spent.charges, &spent.clock, {.epsilon = 3, .delta = 1e-6});
  simulation.Run();
  EXPECT_EQ(simulation.Counted(), 3u);
  EXPECT_FALSE(spent.Counted());
  EXPECT_THAT(simulation.round.masked[spent.name()], testing::IsEmpty());
  EXPECT_THAT(spent.charges.charges, testing::IsEmpty());
  EXPECT_THAT(testing::PrintToString(spent.notes),
              testing::HasSubstr("declined round t-1: this device: the privacy limit stops this: epsilon 0 is spent"));
}

INSTANTIATE_TEST_SUITE_P(Profiles, CellSimTest, testing::Values(SecureMode::kSemiHonest, SecureMode::kMalicious),
                         [](const auto& mode) {
                           return mode.param == SecureMode::kMalicious ? "Malicious" : "SemiHonest";
                         });

}  // namespace
}  // namespace fleetune
