#include "client/trainer/trainer_process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <fstream>

#include "tests/support/status_matchers.h"
#include "tests/support/temp_folder.h"

namespace fleetune {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kLong{60'000};  // never waited for in a test that passes
constexpr auto kUnavailable = absl::StatusCode::kUnavailable;

TrainingJob SmallJob() { return {.plan = "p", .model_path = "m", .b = {1}, .records = {"r"}}; }

// A program that ends as `script` says instead of training.
std::string ProgramOf(const std::string& name, const std::string& script) {
  static const TempFolder folder;
  const std::string path = folder.File(name);
  std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
  chmod(path.c_str(), 0755);
  return path;
}

TEST(TrainerProcessTest, AProgramThatIsNotThereIsNotFound) {
  EXPECT_THAT(TrainerProcess::Start({.program = "/nowhere/fleetune-trainer"}, SmallJob()),
              HasStatus(absl::StatusCode::kNotFound, "/nowhere/fleetune-trainer"));
}

TEST(TrainerProcessTest, AProgramThatEndsAtOnceIsUnavailableWithItsExitCode) {
  const auto process = TrainerProcess::Start({.program = ProgramOf("exits", "exit 3")}, SmallJob());
  // It may end before or after the job is on its way.
  const absl::Status status = process.ok() ? (*process)->Next(kLong).status() : process.status();
  EXPECT_THAT(status, HasStatus(kUnavailable, "exit code 3"));
  if (process.ok()) {
    EXPECT_THAT((*process)->Next(kLong), HasStatus(kUnavailable, ""));
    EXPECT_THAT((*process)->Stop(), HasStatus(kUnavailable, ""));
  }
}

TEST(TrainerProcessTest, AKilledProgramIsUnavailableWithItsSignal) {
  auto process = TrainerProcess::Start({.program = ProgramOf("waits", "exec sleep 1000")}, SmallJob());
  ASSERT_THAT(process, IsOk());
  const auto nothing = (*process)->Next(milliseconds(0));
  ASSERT_THAT(nothing, IsOk());
  EXPECT_FALSE(nothing->has_value());
  kill((*process)->pid(), SIGKILL);
  EXPECT_THAT((*process)->Next(kLong), HasStatus(kUnavailable, "signal 9"));
}

TEST(TrainerProcessTest, NonsenseOnTheSocketCostsTheAttempt) {
  auto process = TrainerProcess::Start(
      {.program = ProgramOf("lies", "printf '\\001\\000\\000\\000\\377' >&3; exec sleep 1000")}, SmallJob());
  ASSERT_THAT(process, IsOk());
  EXPECT_THAT((*process)->Next(kLong), HasStatus(kUnavailable, "unknown kind of frame"));
}

TEST(TrainerProcessTest, WordsOfADaemonFromATrainerCostTheAttempt) {
  auto process = TrainerProcess::Start(
      {.program = ProgramOf("stops", "printf '\\001\\000\\000\\000\\002' >&3; exec sleep 1000")}, SmallJob());
  ASSERT_THAT(process, IsOk());
  EXPECT_THAT((*process)->Next(kLong), HasStatus(kUnavailable, "only a daemon"));
}

TEST(TrainerProcessTest, NoDescriptorButTheSocketIsInherited) {
  const TempFolder folder;
  const std::string list = folder.File("descriptors");
  const int extra = dup(0);  // one without close-on-exec
  auto process =
      TrainerProcess::Start({.program = ProgramOf("lists", "ls /proc/$$/fd > " + list + "; exit 0")}, SmallJob());
  const absl::Status status = process.ok() ? (*process)->Next(kLong).status() : process.status();
  close(extra);
  EXPECT_THAT(status, HasStatus(kUnavailable, "exit code 0"));
  std::ifstream file(list);
  for (std::string descriptor; file >> descriptor;) {
    // 10 and up are the shell's own: the script it reads.
    EXPECT_TRUE(descriptor == "0" || descriptor == "1" || descriptor == "2" || descriptor == "3" ||
                descriptor.size() > 1)
        << descriptor;
  }
}

TEST(TrainerProcessTest, KillEndsAndReapsIt) {
  auto process = TrainerProcess::Start({.program = ProgramOf("kept", "exec sleep 1000")}, SmallJob());
  ASSERT_THAT(process, IsOk());
  const pid_t pid = (*process)->pid();
  (*process)->Kill();
  (*process)->Kill();  // once more is no harm
  EXPECT_EQ(kill(pid, 0), -1);
  EXPECT_EQ(errno, ESRCH);
  EXPECT_THAT((*process)->Next(milliseconds(0)), HasStatus(kUnavailable, "killed"));
}

TEST(TrainerProcessTest, IsGoneWithItsOwner) {
  auto process = TrainerProcess::Start({.program = ProgramOf("owned", "exec sleep 1000")}, SmallJob());
  ASSERT_THAT(process, IsOk());
  const pid_t pid = (*process)->pid();
  process->reset();
  EXPECT_EQ(kill(pid, 0), -1);
}

}  // namespace
}  // namespace fleetune
