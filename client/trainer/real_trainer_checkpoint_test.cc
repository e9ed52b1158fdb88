// The real fleetune-trainer stopped, paused, killed and gone on with: the result is the same, bit for bit.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <vector>

#include "client/trainer/real_trainer_fixture.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using namespace real_trainer;

constexpr uint32_t kSteps = 9;
constexpr uint32_t kInterval = 2;

TrainingJob JobWithCheckpoints() {
  TrainingPlan plan = SomePlan();
  plan.train.steps = kSteps;
  plan.train.dropout = 0.1;
  TrainingJob job = JobOf(plan);
  job.checkpoint_steps = kInterval;
  return job;
}

// Of a plan with control variates, whose device corrects its gradients.
TrainingJob ControlledJob() {
  TrainingPlan plan = SomePlan();
  plan.train.steps = kSteps;
  plan.train.control_variates = true;
  plan.encoding.lane_bits = 32;
  TrainingJob job = JobOf(plan);
  job.checkpoint_steps = kInterval;
  job.correction.assign(job.b.size(), 0.01f);
  return job;
}

TrainingJob EndlessJob() {
  TrainingPlan plan = SomePlan();
  plan.train.steps = 100'000;
  TrainingJob job = JobOf(plan);
  job.checkpoint_steps = kInterval;
  return job;
}

template <typename T>
std::vector<T> Of(const std::vector<TrainerEvent>& events) {
  std::vector<T> found;
  for (const TrainerEvent& event : events) {
    if (const T* one = std::get_if<T>(&event)) found.push_back(*one);
  }
  return found;
}

std::unique_ptr<TrainerProcess> Begin(const TrainingJob& job) {
  auto process = TrainerProcess::Start(kTrainer, job);
  EXPECT_THAT(process, IsOk());
  return *std::move(process);
}

TEST(RealTrainerCheckpointTest, FromEachCheckpointItComesToTheSameBits) {
  TrainingJob job = JobWithCheckpoints();
  const auto whole = RunToEnd(*Begin(job));
  ASSERT_THAT(whole, IsOk());
  const std::vector<TrainingCheckpoint> checkpoints = Of<TrainingCheckpoint>(*whole);
  ASSERT_EQ(checkpoints.size(), 4u);
  for (size_t i = 0; i < checkpoints.size(); ++i) {
    EXPECT_EQ(checkpoints[i].step, kInterval * (i + 1));
    job.checkpoint = checkpoints[i].state;
    const auto rest = RunToEnd(*Begin(job));
    ASSERT_THAT(rest, IsOk());
    EXPECT_EQ(std::get<TrainingBegun>(rest->front()), (TrainingBegun{.step = checkpoints[i].step, .not_used = ""}));
    EXPECT_EQ(Of<TrainingProgress>(*rest).front().step, checkpoints[i].step + 1);
    EXPECT_EQ(Of<TrainingDone>(*rest), Of<TrainingDone>(*whole));
  }
}

// A chain of attempts, each killed as soon as it has sent a checkpoint. With control variates the mean of the gradients is
// the same, too.
TEST(RealTrainerCheckpointTest, KilledAgainAndAgainItComesToTheSameBits) {
  for (TrainingJob job : {JobWithCheckpoints(), ControlledJob()}) {
    const auto whole = Train(job);
    ASSERT_THAT(whole, IsOk());
    EXPECT_EQ(whole->mean_gradient.size(), job.correction.size());
    for (uint32_t attempt = 1; attempt <= 4; ++attempt) {
      const auto process = Begin(job);
      const auto checkpoint = Await<TrainingCheckpoint>(*process);
      ASSERT_THAT(checkpoint, IsOk());
      EXPECT_EQ(checkpoint->step, kInterval * attempt);
      kill(process->pid(), SIGKILL);
      job.checkpoint = checkpoint->state;
    }
    const auto last = Train(job);
    ASSERT_THAT(last, IsOk());
    EXPECT_EQ(*last, *whole);
  }
}

// The server's control variates, or this device's, may have become others.
TEST(RealTrainerCheckpointTest, OfAnotherCorrectionItIsBegunAnew) {
  TrainingJob job = ControlledJob();
  const auto checkpoint = Await<TrainingCheckpoint>(*Begin(job));
  ASSERT_THAT(checkpoint, IsOk());
  job.correction[0] = 0.02f;
  const auto whole = Train(job);
  ASSERT_THAT(whole, IsOk());
  job.checkpoint = checkpoint->state;
  const auto again = Begin(job);
  const auto begun = Await<TrainingBegun>(*again);
  ASSERT_THAT(begun, IsOk());
  EXPECT_EQ(begun->step, 0u);
  EXPECT_THAT(begun->not_used, testing::HasSubstr("another correction"));
  const auto done = Await<TrainingDone>(*again);
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(*done, *whole);
}

TEST(RealTrainerCheckpointTest, PausedAndResumedItComesToTheSameBits) {
  const TrainingJob job = JobWithCheckpoints();
  const auto whole = Train(job);
  ASSERT_THAT(whole, IsOk());
  const auto process = Begin(job);
  ASSERT_THAT(process->Pause(), IsOk());
  const auto paused = Await<TrainingPaused>(*process);
  ASSERT_THAT(paused, IsOk());
  ASSERT_THAT(process->Pause(), IsOk());  // once more is no harm
  ASSERT_THAT(process->Resume(), IsOk());
  const auto next = Await<TrainingProgress>(*process);
  ASSERT_THAT(next, IsOk());
  EXPECT_EQ(next->step, paused->step + 1);
  const auto done = Await<TrainingDone>(*process);
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(*done, *whole);
}

// A step of so many passes takes seconds: one that had to be ended first would be counted.
TEST(RealTrainerCheckpointTest, APauseWaitsForNoStep) {
  TrainingPlan plan = SomePlan();
  plan.train.micro_batch = 256;
  plan.train.accumulate = 1024;
  const auto process = Begin(JobOf(plan));
  ASSERT_THAT(process->Pause(), IsOk());
  const auto paused = Await<TrainingPaused>(*process);
  ASSERT_THAT(paused, IsOk());
  EXPECT_EQ(paused->step, 0u);
  ASSERT_THAT(process->Stop(), IsOk());
  const auto done = Await<TrainingDone>(*process);
  ASSERT_THAT(done, IsOk());
  EXPECT_EQ(done->steps, 0u);
}

TEST(RealTrainerCheckpointTest, APauseMakesSafeWhatWasLearned) {
  TrainingJob job = EndlessJob();
  job.checkpoint_steps = 50'000;
  const auto process = Begin(job);
  ASSERT_THAT(Await<TrainingProgress>(*process), IsOk());
  ASSERT_THAT(process->Pause(), IsOk());
  const auto checkpoint = Await<TrainingCheckpoint>(*process);
  ASSERT_THAT(checkpoint, IsOk());
  const auto paused = Await<TrainingPaused>(*process);
  ASSERT_THAT(paused, IsOk());
  EXPECT_EQ(paused->step, checkpoint->step);
  EXPECT_GE(paused->step, 1u);
  job.checkpoint = checkpoint->state;
  const auto begun = Await<TrainingBegun>(*Begin(job));
  ASSERT_THAT(begun, IsOk());
  EXPECT_EQ(begun->step, checkpoint->step);
}

TEST(RealTrainerCheckpointTest, StopsWithWhatItLearnedAlsoInAPause) {
  for (const bool in_pause : {false, true}) {
    const auto process = Begin(EndlessJob());
    ASSERT_THAT(Await<TrainingProgress>(*process), IsOk());
    if (in_pause) {
      ASSERT_THAT(process->Pause(), IsOk());
      ASSERT_THAT(Await<TrainingPaused>(*process), IsOk());
    }
    ASSERT_THAT(process->Stop(), IsOk());
    const auto done = Await<TrainingDone>(*process);
    ASSERT_THAT(done, IsOk());
    EXPECT_GT(done->steps, 0u);
    EXPECT_LT(done->steps, 100'000u);
  }
}

// Examples may have come since it was taken, and disks fail.
TEST(RealTrainerCheckpointTest, WhatCannotBeUsedIsSaidAndBegunAnew) {
  TrainingJob job = JobWithCheckpoints();
  const auto process = Begin(job);
  const auto checkpoint = Await<TrainingCheckpoint>(*process);
  ASSERT_THAT(checkpoint, IsOk());
  job.records.push_back(FormatRecord(PlainText{"one more of them came."}));
  const auto whole = Train(job);
  ASSERT_THAT(whole, IsOk());
  Bytes damaged = checkpoint->state;
  damaged[damaged.size() / 2] ^= 1;
  const std::pair<Bytes, std::string> cases[] = {{checkpoint->state, "of a training with another"}, {damaged, "hash"}};
  for (const auto& [bytes, reason] : cases) {
    job.checkpoint = bytes;
    const auto again = Begin(job);
    const auto begun = Await<TrainingBegun>(*again);
    ASSERT_THAT(begun, IsOk());
    EXPECT_EQ(begun->step, 0u);
    EXPECT_THAT(begun->not_used, testing::HasSubstr(reason));
    const auto done = Await<TrainingDone>(*again);
    ASSERT_THAT(done, IsOk());
    EXPECT_EQ(*done, *whole);
  }
}

}  // namespace
}  // namespace fleetune
