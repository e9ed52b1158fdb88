// What holds the real fleetune-trainer: the kernel's walls around it, and a limit of memory.

#include <dirent.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "client/trainer/child_fixture.h"
#include "client/trainer/confinement.h"
#include "client/trainer/real_trainer_fixture.h"
#include "tests/support/status_matchers.h"

namespace fleetune {
namespace {

using namespace real_trainer;

constexpr auto kTooMuch = absl::StatusCode::kResourceExhausted;

TrainingPlan LongPlan() {
  TrainingPlan plan = SomePlan();
  plan.train.steps = 100'000;
  return plan;
}

std::string StatusLine(const std::filesystem::path& task, const std::string& name) {
  std::ifstream file(task / "status");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with(name + ":")) return line.substr(line.find_first_not_of(" \t", name.size() + 1));
  }
  return "";
}

TEST(RealTrainerLimitsTest, EveryThreadIsConfinedWhileItTrains) {
  TrainingJob job = JobOf(LongPlan());
  job.threads = 2;
  auto process = TrainerProcess::Start({.program = kTrainer.program, .niceness = kIdleNiceness}, job);
  ASSERT_THAT(process, IsOk());
  ASSERT_THAT(Await<TrainingProgress>(**process), IsOk());
  const std::string folder = "/proc/" + std::to_string((*process)->pid());
  int threads = 0;
  for (const auto& task : std::filesystem::directory_iterator(folder + "/task")) {
    ++threads;
    EXPECT_EQ(StatusLine(task.path(), "Seccomp"), "2") << task.path();
    EXPECT_EQ(StatusLine(task.path(), "NoNewPrivs"), "1") << task.path();
    EXPECT_EQ(sched_getscheduler(std::stoi(task.path().filename())), SCHED_IDLE) << task.path();
  }
  EXPECT_GE(threads, 2);
}

TEST(RealTrainerLimitsTest, ItHasANetworkOfItsOwnWhereTheKernelGivesOne) {
  if (InChild([] { return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 ? 0 : 1; }) != 0) {
    GTEST_SKIP() << "no namespaces here: the filter alone keeps it off the network";
  }
  auto process = TrainerProcess::Start(kTrainer, JobOf(LongPlan()));
  ASSERT_THAT(process, IsOk());
  ASSERT_THAT(Await<TrainingProgress>(**process), IsOk());
  // Whom the kernel lets read it: an administrator.
  std::error_code error;
  const auto its = std::filesystem::read_symlink("/proc/" + std::to_string((*process)->pid()) + "/ns/net", error);
  if (error) GTEST_SKIP() << "another process's namespaces cannot be read: " << error.message();
  EXPECT_NE(its, std::filesystem::read_symlink("/proc/self/ns/net"));
}

// What the trainer says that a job needs, with the mapped model, in megabytes rounded up.
uint64_t NeededMegabytes(TrainingJob job) {
  job.memory_limit_bytes = 1;
  const std::string refusal(Train(job).status().message());
  const size_t at = refusal.find("needs ");
  EXPECT_NE(at, std::string::npos) << refusal;
  return at == std::string::npos ? 0 : std::stoull(refusal.substr(at + 6));
}

TEST(RealTrainerLimitsTest, WhatDoesNotFitIsSaidBeforeItStarts) {
  TrainingJob job = JobOf(SomePlan());
  job.memory_limit_bytes = 16 << 20;
  EXPECT_THAT(Train(job), HasStatus(kTooMuch, "MB allowed: no rank or sequence length would fit"));
  EXPECT_THAT(Train(job), HasStatus(kTooMuch, "the training does not fit: needs"));

  TrainingPlan plan = SomePlan();
  plan.train.sequence_length = 512;
  job = JobOf(plan);
  job.memory_limit_bytes = (NeededMegabytes(job) - 3) * 1'000'000;
  EXPECT_THAT(Train(job), HasStatus(kTooMuch, "sequence 512 -> "));
}

TEST(RealTrainerLimitsTest, WhatIsEstimatedIsEnough) {
  for (const uint32_t sequence : {64u, 512u}) {
    TrainingPlan plan = SomePlan();
    plan.train.sequence_length = sequence;
    TrainingJob job = JobOf(plan);
    job.memory_limit_bytes = NeededMegabytes(job) * 1'000'000;
    job.threads = 2;
    EXPECT_THAT(Train(job), IsOk()) << sequence;
  }
}

// Examples are in no estimate.
TEST(RealTrainerLimitsTest, TheWallIsMetWithWords) {
  TrainingJob job = JobOf(SomePlan());
  job.memory_limit_bytes = 250'000'000;
  const std::string record = FormatRecord(PlainText{std::string(1000, 'a')});
  job.records.assign(150'000, record);
  const absl::Status status = Train(job).status();
  EXPECT_THAT(status, HasStatus(kTooMuch, "250 MB"));
  EXPECT_THAT(status, HasStatus(kTooMuch, "fewer examples"));
  job.records.resize(100);
  EXPECT_THAT(Train(job), IsOk());
}

TEST(RealTrainerLimitsTest, KilledItIsSaidWithTheMemoryThatItHeld) {
  TrainingJob job = JobOf(LongPlan());
  job.memory_limit_bytes = 500'000'000;
  auto process = TrainerProcess::Start(kTrainer, job);
  ASSERT_THAT(process, IsOk());
  ASSERT_THAT(Await<TrainingProgress>(**process), IsOk());
  ASSERT_EQ(kill((*process)->pid(), SIGKILL), 0);
  const absl::Status status = Await<TrainingDone>(**process).status();
  EXPECT_THAT(status, HasStatus(absl::StatusCode::kUnavailable, "signal 9 (Killed)"));
  EXPECT_THAT(status, HasStatus(absl::StatusCode::kUnavailable, "it held at most "));
  EXPECT_THAT(status, HasStatus(absl::StatusCode::kUnavailable, "500 MB of its own were allowed"));
}

}  // namespace
}  // namespace fleetune
