// What is trained and averaged besides B over the seed's A: both factors in turn, both at once, fewer ranks, and
// versions in other factors.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "lora/adapter/delta.h"
#include "lora/adapter/refactoring.h"
#include "lora/update/adapter_update.h"
#include "tests/support/small_fleet.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

std::string TaskToml(const std::string& adapter, const std::string& server = "") {
  return "name = \"home\"\nbase = \"small.gguf\"\nsecure_aggregation = \"off\"\n[adapter]\n" + adapter +
         "\n[update]\nlane_bits = 32\nclip_norm = 100\n[round]\ninvited = 3\nneeded = 2\n[server]\n" + server + "\n";
}

// Values of B A of all modules, in double.
std::vector<double> Products(const Adapter& adapter) {
  std::vector<double> products;
  for (const LoraModule& module : adapter.spec().modules()) {
    const auto a = adapter.a(module);
    const auto b = adapter.b(module);
    for (uint32_t row = 0; row < module.out; ++row) {
      for (uint32_t column = 0; column < module.in; ++column) {
        double sum = 0;
        for (uint32_t rank = 0; rank < adapter.spec().rank(); ++rank) {
          sum += double{b[rank * module.out + row]} * a[rank * module.in + column];
        }
        products.push_back(sum);
      }
    }
  }
  return products;
}

double Distance(const std::vector<double>& x, const std::vector<double>& y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return std::sqrt(sum);
}
double Norm(const std::vector<double>& x) { return Distance(x, std::vector<double>(x.size())); }

class FleetVariantsTest : public ::testing::Test {
 protected:
  void Begin(const std::string& toml) {
    small.AddTask(toml);
    for (int i = 0; i < 3; ++i) devices.push_back(small.AddDevice());
  }
  TaskSpec Task() { return small.fleet->Tasks("home")->front().spec; }
  Adapter Version(uint32_t version) { return *small.fleet->VersionAdapter("home", version); }

  // What a device trains: `before` with random steps of what is trained, of the first `ranks` (0: all) of B.
  Adapter Trained(const Adapter& before, uint32_t from, uint64_t seed, uint32_t ranks = 0) {
    const Factors factors = TrainedFactors(Task().plan.trained, from);
    SplitMix64 random(seed);
    const auto step = [&] { return static_cast<float>(random.NextUnit() - 0.5); };
    std::vector<float> a(before.a().begin(), before.a().end());
    std::vector<float> b(before.b().begin(), before.b().end());
    if (HasA(factors)) std::ranges::for_each(a, [&](float& value) { value += step(); });
    for (const LoraModule& module : before.spec().modules()) {
      const uint64_t trained = uint64_t{ranks == 0 ? before.spec().rank() : ranks} * module.out;
      if (!HasB(factors)) continue;
      for (uint64_t i = 0; i < trained; ++i) b[module.b_offset + i] += step();
    }
    return *Adapter::Create(before.spec(), a, b);
  }

  struct Trainee {
    Adapter after;
    uint32_t ranks = 0;
  };
  // A round in which the devices trained this; weights are equal.
  void Run(uint32_t from, const std::vector<Trainee>& trainees) {
    const std::string round = small.StartRound();
    const TrainingPlan plan = Task().plan;
    const Adapter before = Version(from);
    for (size_t i = 0; i < trainees.size(); ++i) {
      ASSERT_EQ(small.CheckIn(devices[i]), round);
      auto delta = MakeDelta(before, trainees[i].after, TrainedFactors(plan.trained, from));
      ASSERT_THAT(delta, IsOk());
      const auto encoder = UpdateEncoder::Create(
          UpdateOptions({.plan = plan, .spec = before.spec(), .from_version = from, .round = round}).value());
      ASSERT_THAT(encoder, IsOk());
      SplitMix64 rounding(i);
      const auto encoded = encoder->Encode({.values = *std::move(delta),
                                            .weight = 1,
                                            .trained_groups = TrainedGroups(plan, trainees[i].ranks)},
                                           rounding);
      ASSERT_THAT(encoded, IsOk());
      ASSERT_THAT(small.Send(devices[i], round, PackLanes(encoded->ring, LaneBits::k32)), IsOk());
    }
    // Whoever does not answer.
    small.clock.now += std::chrono::minutes(31);
    ASSERT_THAT(small.fleet->Tick(), IsOk());
    ASSERT_EQ(small.fleet->Round(round)->state, "done") << small.fleet->Round(round)->reason;
  }

  // The mean over devices of what each would have added to the base model, and what the version adds: how far apart,
  // relative to the step.
  double Inexactness(uint32_t from, uint32_t made, const std::vector<Trainee>& trainees) {
    const std::vector<double> before = Products(Version(from));
    std::vector<double> mean(before.size());
    for (const Trainee& trainee : trainees) {
      const std::vector<double> after = Products(trainee.after);
      for (size_t i = 0; i < mean.size(); ++i) mean[i] += after[i] / static_cast<double>(trainees.size());
    }
    return Distance(Products(Version(made)), mean) / Distance(mean, before);
  }

  // From version 0 by updates alone, as a device goes; the last one's adapter.
  absl::StatusOr<Adapter> Follow(uint32_t to) {
    Adapter adapter = Version(0);
    std::vector<Bytes> updates;
    for (uint32_t version = to; version > 0;) {
      const VersionRecord record = small.memory.Versions("home")->at(version);
      updates.push_back(*small.memory.ReadPiece(record.update_sha256, 0, record.update_bytes));
      version = record.parent;
    }
    std::ranges::reverse(updates);
    for (const Bytes& bytes : updates) {
      const auto update = ParseUpdate(bytes);
      if (!update.ok()) return update.status();
      auto next = ApplyUpdate(*update, adapter,
                              {.task = "home", .base = Task().plan.base, .seed = Task().plan.seed},
                              small.release_key.verify_key());
      if (!next.ok()) return next.status();
      adapter = *std::move(next);
    }
    return adapter;
  }
  void ExpectFollowed(uint32_t to) {
    const auto followed = Follow(to);
    ASSERT_THAT(followed, IsOk());
    EXPECT_EQ(AdapterHash(*followed, Task().plan.seed), small.fleet->Versions("home")->at(to).hash);
  }

  SmallFleet small;
  std::vector<std::string> devices;
};

TEST_F(FleetVariantsTest, AlternatingTrainsBThenAAndIsExact) {
  Begin(TaskToml("rank = 2\ntrained = \"alternating\""));
  for (const uint32_t from : {0u, 1u, 2u}) {
    const Adapter before = Version(from);
    std::vector<Trainee> trainees;
    for (uint64_t i = 0; i < 3; ++i) trainees.push_back({Trained(before, from, 10 * from + i)});
    Run(from, trainees);
    const Adapter after = Version(from + 1);
    EXPECT_EQ(std::ranges::equal(before.a(), after.a()), from % 2 == 0);
    EXPECT_EQ(std::ranges::equal(before.b(), after.b()), from % 2 == 1);
    // But for the 8 bits of the update.
    EXPECT_LT(Inexactness(from, from + 1, trainees), 0.02);
  }
  ExpectFollowed(3);
  small.Reopen();
  ExpectFollowed(3);
}

TEST_F(FleetVariantsTest, FactorsIsNotTheMeanAndSaysSo) {
  Begin(TaskToml("rank = 2\ntrained = \"factors\""));
  for (const uint32_t from : {0u, 1u}) {
    std::vector<Trainee> trainees;
    for (uint64_t i = 0; i < 3; ++i) trainees.push_back({Trained(Version(from), from, 20 + 10 * from + i)});
    Run(from, trainees);
    EXPECT_GT(Inexactness(from, from + 1, trainees), 0.1);
  }
  ExpectFollowed(2);
  const TaskView view = small.fleet->Tasks("home")->front();
  EXPECT_NE(view.method.find("INEXACT"), std::string::npos);
  EXPECT_EQ(view.trained_parameters, 2 * SmallFleet::kParameters);  // as many inputs as outputs
}

TEST_F(FleetVariantsTest, EverySecondVersionIsRefactored) {
  Begin(TaskToml("rank = 2", "refactor_every = 2\nmomentum = 0.9"));
  for (uint32_t from = 0; from < 4; ++from) {
    std::vector<Trainee> trainees;
    for (uint64_t i = 0; i < 2; ++i) trainees.push_back({Trained(Version(from), from, 30 + 10 * from + i)});
    Run(from, trainees);
    const uint32_t made = from + 1;
    const auto state = small.memory.FindServerState("home");
    ASSERT_THAT(state, IsOk());
    EXPECT_EQ(state->version, made);
    const Adapter after = Version(made);
    if (made % 2 == 1) {
      EXPECT_TRUE(std::ranges::equal(after.a(), Version(from).a()));
      EXPECT_FALSE(state->b.residual.empty());
      EXPECT_FALSE(state->b.optimizer.empty());
      // No momentum came over from before the refactoring: the step is the mean.
      EXPECT_LT(Inexactness(from, made, trainees), 0.02);
      continue;
    }
    // Residual and momentum were of factors that are no more.
    EXPECT_EQ(state->b, FactorState{});
    EXPECT_EQ(state->a, FactorState{});
    const auto again = Refactored(after);
    ASSERT_THAT(again, IsOk());
    for (size_t i = 0; i < after.a().size(); ++i) EXPECT_NEAR(again->a()[i], after.a()[i], 1e-4);
    for (const LoraModule& module : after.spec().modules()) {
      double squares = 0;
      for (const float value : after.a(module)) squares += double{value} * value;
      EXPECT_NEAR(squares, 2, 1e-5);
    }
    // With the momentum of one round before it.
    EXPECT_LT(Norm(Products(after)), 10);
  }
  ExpectFollowed(4);
  EXPECT_NE(small.fleet->Tasks("home")->front().method.find("multiple of 2 is refactored"), std::string::npos);
}

TEST_F(FleetVariantsTest, ARollbackOverARefactoredVersionGoesBackToTheSeedsA) {
  Begin(TaskToml("rank = 2", "refactor_every = 2"));
  const auto round = [&](uint32_t from, uint64_t seed) { Run(from, {{Trained(Version(from), from, seed)},
                                                                     {Trained(Version(from), from, seed + 1)}}); };
  round(0, 1);
  round(1, 3);
  const uint64_t seed = Task().plan.seed;
  EXPECT_FALSE(HasAOfSeed(Version(2), seed));
  ASSERT_THAT(small.fleet->Rollback("ann", "home", 1), IsOk());
  EXPECT_TRUE(HasAOfSeed(Version(1), seed));
  // A device that holds version 2 gets version 1 whole, and it has the seed's A.
  const auto plan = small.fleet->PlanUpdate(
      "home", {.task = "home", .version = 2, .hash = small.fleet->Versions("home")->at(2).hash}, false, 1);
  ASSERT_THAT(plan, IsOk());
  ASSERT_EQ(plan->size(), 1u);
  EXPECT_TRUE(plan->front().snapshot);
  const auto snapshot = ParseUpdate(*small.memory.ReadPiece(plan->front().sha256, 0, plan->front().size));
  ASSERT_THAT(snapshot, IsOk());
  const auto back = ApplyUpdate(*snapshot, Version(2), {.task = "home", .base = Task().plan.base, .seed = seed},
                                small.release_key.verify_key());
  ASSERT_THAT(back, IsOk());
  EXPECT_EQ(AdapterHash(*back, seed), small.fleet->Versions("home")->at(1).hash);
  round(1, 5);
  ExpectFollowed(3);
  EXPECT_TRUE(HasAOfSeed(Version(3), seed));
  round(3, 7);
  EXPECT_FALSE(HasAOfSeed(Version(4), seed));
  ExpectFollowed(4);
}

TEST_F(FleetVariantsTest, EachRankIsTheMeanOfThoseThatTrainedIt) {
  Begin(TaskToml("rank = 4\nsmallest_rank = 1"));
  const Adapter before = Version(0);
  const std::vector<Trainee> trainees = {
      {Trained(before, 0, 1, 4), 4}, {Trained(before, 0, 2, 2), 2}, {Trained(before, 0, 3, 1), 1}};
  Run(0, trainees);
  const Adapter after = Version(1);
  for (const LoraModule& module : after.spec().modules()) {
    for (uint32_t rank = 0; rank < 4; ++rank) {
      const uint32_t by = rank == 0 ? 3 : rank == 1 ? 2 : 1;
      for (uint32_t i = 0; i < module.out; ++i) {
        double sum = 0;
        for (const Trainee& trainee : trainees) sum += trainee.after.b(module)[rank * module.out + i];
        EXPECT_NEAR(after.b(module)[rank * module.out + i], sum / by, 0.005) << rank << " " << i;
      }
    }
  }
}

// Momentum and what an earlier update left out belong to a rank; without anybody to train it, it stays.
TEST_F(FleetVariantsTest, ARankThatNobodyTrainedKeepsItsValue) {
  Begin(TaskToml("rank = 4\nsmallest_rank = 2", "momentum = 0.9"));
  Run(0, {{Trained(Version(0), 0, 1)}, {Trained(Version(0), 0, 2)}});
  const Adapter first = Version(1);
  const FactorState before = small.memory.FindServerState("home")->b;
  Run(1, {{Trained(first, 1, 3, 2), 2}, {Trained(first, 1, 4, 2), 2}});
  const Adapter second = Version(2);
  const FactorState after = small.memory.FindServerState("home")->b;
  for (const LoraModule& module : first.spec().modules()) {
    const size_t half = 2 * module.out;
    EXPECT_FALSE(std::ranges::equal(first.b(module).first(half), second.b(module).first(half)));
    EXPECT_TRUE(std::ranges::equal(first.b(module).subspan(half), second.b(module).subspan(half)));
    for (size_t i = module.b_offset + half; i < module.b_offset + 2 * half; ++i) {
      EXPECT_EQ(before.residual[i], after.residual[i]);
    }
  }
}

TEST_F(FleetVariantsTest, ATaskThatCannotBeRefactoredIsRefused) {
  ASSERT_THAT(small.fleet->AddModel("ann", SmallModel()), IsOk());
  EXPECT_THAT(small.fleet->CreateTask("ann", TaskToml("rank = 9", "refactor_every = 1")),
              HasStatus(absl::StatusCode::kInvalidArgument, "server.refactor_every"));
  EXPECT_THAT(small.fleet->CreateTask("ann", TaskToml("rank = 8", "refactor_every = 1")), IsOk());
}

}  // namespace
}  // namespace fleetune
