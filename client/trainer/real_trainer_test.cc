// The real fleetune-trainer on a real model.

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <vector>

#include "client/trainer/trainer_process.h"
#include "inference/gguf/gguf_file.h"
#include "inference/gguf/llama_shape.h"
#include "inference/model/model.h"
#include "lora/adapter/adapter_spec.h"
#include "lora/plan/training_plan.h"
#include "lora/records/record.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{240'000};  // never waited for in a test that passes

const TrainerProcess::Options kTrainer = {.program = FLEETUNE_BIN_DIR "/fleetune-trainer", .niceness = 0};

TrainingPlan SomePlan() {
  TrainingPlan plan;
  plan.task = "stories";
  plan.targets = {Projection::kQ, Projection::kV};
  plan.rank = 4;
  plan.alpha = 8;
  plan.train.steps = 5;
  plan.train.learning_rate = 0.01;
  plan.train.sequence_length = 64;
  plan.train.micro_batch = 2;
  return plan;
}

TrainingJob JobOf(const TrainingPlan& plan) {
  const std::string model = FLEETUNE_TEST_DATA "/models/stories260K-q8_0.gguf";
  const LlamaShape shape = *ReadLlamaShape(**GgufFile::Open(model));
  const AdapterSpec spec = *AdapterSpec::Create(
      {.rank = plan.rank, .alpha = plan.alpha, .targets = plan.targets}, SizesOf(shape));
  TrainingJob job;
  job.plan = FormatTrainingPlan(plan);
  job.model_path = model;
  job.b.assign(spec.b_size(), 0.0f);
  job.threads = 1;
  for (int i = 0; i < 8; ++i) {
    job.records.push_back(FormatRecord(PlainText{"the big bear number " + std::to_string(i) + " ate all the honey."}));
  }
  return job;
}

// Events until the last one or an error.
absl::StatusOr<std::vector<TrainerEvent>> RunToEnd(TrainerProcess& process) {
  std::vector<TrainerEvent> events;
  for (;;) {
    auto event = process.Next(kLong);
    if (!event.ok()) return event.status();
    if (!event->has_value()) return absl::DeadlineExceededError("no event came");
    events.push_back(**event);
    if (!std::holds_alternative<TrainingProgress>(events.back())) return events;
  }
}

TEST(RealTrainerTest, TrainsReportsAndEnds) {
  const TrainingJob job = JobOf(SomePlan());
  std::vector<float> b;
  for (int run = 0; run < 2; ++run) {
    auto process = TrainerProcess::Start(kTrainer, job);
    ASSERT_THAT(process, IsOk());
    const auto events = RunToEnd(**process);
    ASSERT_THAT(events, IsOk());
    ASSERT_EQ(events->size(), 6u);
    for (uint32_t step = 1; step <= 5; ++step) {
      const auto& progress = std::get<TrainingProgress>((*events)[step - 1]);
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

// What is trained follows from the plan's method and the version; A need not be the seed's.
TEST(RealTrainerTest, TrainsTheFactorAndTheRanksOfTheJob) {
  TrainingPlan plan = SomePlan();
  plan.trained = LoraMethod::kAlternating;
  const auto run = [](const TrainingJob& job) {
    auto process = TrainerProcess::Start(kTrainer, job);
    EXPECT_THAT(process, IsOk());
    const auto events = RunToEnd(**process);
    EXPECT_THAT(events, IsOk());
    EXPECT_TRUE(std::holds_alternative<TrainingDone>(events->back()));
    return std::get<TrainingDone>(events->back());
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

TEST(RealTrainerTest, KilledInTheMiddleItCostsTheAttemptOnly) {
  TrainingPlan plan = SomePlan();
  plan.train.steps = 100'000;
  auto process = TrainerProcess::Start(kTrainer, JobOf(plan));
  ASSERT_THAT(process, IsOk());
  const auto first = (*process)->Next(kLong);
  ASSERT_THAT(first, IsOk());
  ASSERT_TRUE(first->has_value());
  ASSERT_EQ(kill((*process)->pid(), SIGKILL), 0);
  EXPECT_THAT(RunToEnd(**process), HasStatus(absl::StatusCode::kUnavailable, "signal 9"));

  auto again = TrainerProcess::Start(kTrainer, JobOf(SomePlan()));
  ASSERT_THAT(again, IsOk());
  const auto events = RunToEnd(**again);
  ASSERT_THAT(events, IsOk());
  EXPECT_TRUE(std::holds_alternative<TrainingDone>(events->back()));
}

TEST(RealTrainerTest, StopsBetweenStepsWithWhatItLearned) {
  TrainingPlan plan = SomePlan();
  plan.train.steps = 100'000;
  auto process = TrainerProcess::Start(kTrainer, JobOf(plan));
  ASSERT_THAT(process, IsOk());
  ASSERT_THAT((*process)->Next(kLong), IsOk());
  ASSERT_THAT((*process)->Stop(), IsOk());
  const auto events = RunToEnd(**process);
  ASSERT_THAT(events, IsOk());
  ASSERT_TRUE(std::holds_alternative<TrainingDone>(events->back()));
  EXPECT_GT(std::get<TrainingDone>(events->back()).steps, 0u);
  EXPECT_LT(std::get<TrainingDone>(events->back()).steps, 100'000u);
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

TEST(RealTrainerTest, ALimitOfMemoryIsAFailureAndNoHang) {
  TrainingJob job = JobOf(SomePlan());
  job.memory_limit_bytes = 16 << 20;
  auto process = TrainerProcess::Start(kTrainer, job);
  ASSERT_THAT(process, IsOk());
  const auto events = RunToEnd(**process);
  // Where the limit strikes decides whether the trainer can still say so.
  if (events.ok()) {
    EXPECT_TRUE(std::holds_alternative<TrainingFailed>(events->back()));
  } else {
    EXPECT_THAT(events, HasStatus(absl::StatusCode::kUnavailable, "the trainer ended"));
  }
}

}  // namespace
}  // namespace fleetune
