// The real fleetune-trainer on a real model: what it learns, and what it says that it cannot do.

#include <gtest/gtest.h>

#include <algorithm>

#include "client/trainer/real_trainer_fixture.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using namespace real_trainer;

TEST(RealTrainerTest, TrainsReportsAndEnds) {
  const TrainingJob job = JobOf(SomePlan());
  std::vector<float> b;
  for (int run = 0; run < 2; ++run) {
    auto process = TrainerProcess::Start(kTrainer, job);
    ASSERT_THAT(process, IsOk());
    const auto events = RunToEnd(**process);
    ASSERT_THAT(events, IsOk());
    ASSERT_EQ(events->size(), 7u);
    EXPECT_EQ(std::get<TrainingBegun>(events->front()), (TrainingBegun{.step = 0, .not_used = ""}));
    for (uint32_t step = 1; step <= 5; ++step) {
      const auto& progress = std::get<TrainingProgress>((*events)[step]);
      EXPECT_EQ(progress.step, step);
      EXPECT_EQ(progress.steps, 5u);
    }
    ASSERT_TRUE(std::holds_alternative<TrainingDone>(events->back()));
    const auto& done = std::get<TrainingDone>(events->back());
    EXPECT_LT(done.last_loss, done.first_loss);
    EXPECT_EQ(done.examples, 8u);
    EXPECT_EQ(done.steps, 5u);
    ASSERT_EQ(done.b.size(), job.b.size());
    EXPECT_NE(done.b, job.b);
    if (run == 0) b = done.b;
    EXPECT_EQ(done.b, b);  // the same job gives the same bits
    EXPECT_THAT((*process)->Next(kLong), HasStatus(absl::StatusCode::kFailedPrecondition, "answered"));
  }
}

// A part of the records is measured, not learned, and is the same part in each training.
TEST(RealTrainerTest, MeasuresThePartThatIsHeldOut) {
  TrainingPlan plan = SomePlan();
  plan.train.held_out_share = 0.5;
  TrainingJob job = JobOf(plan);
  job.held_out_secret = {1, 2, 3};
  const auto run = [&job] {
    auto process = TrainerProcess::Start(kTrainer, job);
    EXPECT_THAT(process, IsOk());
    const auto events = RunToEnd(**process);
    EXPECT_THAT(events, IsOk());
    return std::get<TrainingDone>(events->back());
  };
  const TrainingDone done = run();
  EXPECT_GT(done.examples, 0u);
  EXPECT_LT(done.examples, job.records.size());
  ASSERT_TRUE(done.held_out_before.has_value() && done.held_out_after.has_value());
  EXPECT_NE(*done.held_out_before, *done.held_out_after);
  EXPECT_EQ(run(), done);
}

// What is trained follows from the plan's method and the version; A need not be the seed's.
TEST(RealTrainerTest, TrainsTheFactorAndTheRanksOfTheJob) {
  TrainingPlan plan = SomePlan();
  plan.trained = LoraMethod::kAlternating;
  const auto run = [](const TrainingJob& job) {
    const auto done = Train(job);
    EXPECT_THAT(done, IsOk());
    return done.value_or(TrainingDone{});
  };
  TrainingJob job = JobOf(plan);
  const TrainingDone of_b = run(job);
  EXPECT_TRUE(of_b.a.empty());
  EXPECT_EQ(of_b.b.size(), job.b.size());
  job.version = 1;
  job.b = of_b.b;
  const TrainingDone of_a = run(job);
  EXPECT_TRUE(of_a.b.empty());
  EXPECT_FALSE(of_a.a.empty());
  job.a = of_a.a;
  const TrainingDone further = run(job);
  EXPECT_EQ(further.a.size(), of_a.a.size());
  EXPECT_NE(further.a, of_a.a);
  EXPECT_LT(further.first_loss, of_a.first_loss);

  job = JobOf(SomePlan());
  job.ranks = 1;
  const TrainingDone small = run(job);
  ASSERT_EQ(small.b.size(), job.b.size());
  // q and v of one size: every fourth row is of the first rank.
  EXPECT_NE(small.b, job.b);
  EXPECT_GE(std::ranges::count(small.b, 0.0f), static_cast<std::ptrdiff_t>(job.b.size() * 3 / 4));
}

TEST(RealTrainerTest, WhatItCannotDoItSays) {
  struct {
    const char* part;
    absl::StatusCode code;
    TrainingJob job;
  } cases[] = {{"record 1", absl::StatusCode::kInvalidArgument, JobOf(SomePlan())},
               {"nowhere.gguf", absl::StatusCode::kNotFound, JobOf(SomePlan())},
               {"", absl::StatusCode::kInvalidArgument, JobOf(SomePlan())},
               {"", absl::StatusCode::kInvalidArgument, JobOf(SomePlan())}};
  cases[0].job.records[1] = "no json";
  cases[1].job.model_path = "/nowhere.gguf";
  cases[2].job.plan += "\nunknown_key = 1\n";
  cases[3].job.b.pop_back();
  for (const auto& one : cases) {
    auto process = TrainerProcess::Start(kTrainer, one.job);
    ASSERT_THAT(process, IsOk());
    const auto events = RunToEnd(**process);
    ASSERT_THAT(events, IsOk());
    ASSERT_TRUE(std::holds_alternative<TrainingFailed>(events->back()));
    EXPECT_THAT(std::get<TrainingFailed>(events->back()).status, HasStatus(one.code, one.part));
  }
}

// Named by its place, never by what it says.
TEST(RealTrainerTest, APoisonedRecordIsNamed) {
  const std::string secret = "swordfish";
  const std::string poisons[] = {"{\"text\": NaN}", "", "{\"text\": \"\"}", "[]", "{\"text\": \"" + secret + "\xff\xfe\"}",
                                 "{\"text\": \"" + secret, std::string("{\"text\": \"a\0b\"}", 15),
                                 std::string(10'000'000, 'x')};
  for (const std::string& poison : poisons) {
    TrainingJob job = JobOf(SomePlan());
    job.records[5] = poison;
    const absl::Status status = Train(job).status();
    EXPECT_THAT(status, HasStatus(poison.size() > kMaxRecordBytes ? absl::StatusCode::kResourceExhausted
                                                                  : absl::StatusCode::kInvalidArgument,
                                  "record 5 of the job"));
    EXPECT_EQ(std::string(status.message()).find(secret), std::string::npos) << status;
    EXPECT_LT(status.message().size(), 500u);
  }
  EXPECT_THAT(Train(JobOf(SomePlan())), IsOk());  // the next one is none the worse
}

// The mean is of the gradients as they came, and what is added to them is heeded: one that takes the only step's gradient
// away leaves nothing to learn.
TEST(RealTrainerTest, CorrectsGradientsAndGivesTheirMean) {
  TrainingPlan plan = SomePlan();
  plan.train.steps = 1;
  plan.train.control_variates = true;
  plan.encoding.lane_bits = 24;
  TrainingJob job = JobOf(plan);
  const auto first = Train(job);
  ASSERT_THAT(first, IsOk());
  ASSERT_EQ(first->mean_gradient.size(), job.b.size());
  EXPECT_NE(first->b, job.b);
  job.correction = first->mean_gradient;
  for (float& value : job.correction) value = -value;
  const auto second = Train(job);
  ASSERT_THAT(second, IsOk());
  EXPECT_EQ(second->mean_gradient, first->mean_gradient);
  EXPECT_EQ(second->b, job.b);
  job.correction.pop_back();
  EXPECT_THAT(Train(job), HasStatus(absl::StatusCode::kInvalidArgument, "correction"));
  plan.train.control_variates = false;
  job.plan = FormatTrainingPlan(plan);
  EXPECT_THAT(Train(job), HasStatus(absl::StatusCode::kFailedPrecondition, "control_variates"));
}

}  // namespace
}  // namespace fleetune
