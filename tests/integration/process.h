#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

namespace fleetune {

// What a finished program left behind.
struct Finished {
  int exit_code = -1;  // 128 + signal if a signal ended it
  std::string output;  // standard output
  std::string errors;  // standard error
};

// Runs a program of FLEETUNE_BIN_DIR to its end. `program` is its name; fails the test if it cannot be started.
Finished RunProgram(const std::string& program, const std::vector<std::string>& arguments);

// A program that runs in the background, its output in a file. Killed when it goes out of scope.
class Background {
 public:
  Background(const std::string& program, const std::vector<std::string>& arguments, const std::string& log_path);
  ~Background();
  Background(Background&& other) noexcept;
  Background& operator=(Background&& other) noexcept;

  pid_t pid() const { return pid_; }
  bool Running() const;
  // SIGKILL to the program alone (children live on as after a crash); waits for its end.
  void KillHard();
  // SIGTERM; waits up to `patience`; gives the exit code, or -1 if it had to be killed.
  int Terminate(std::chrono::seconds patience = std::chrono::seconds(20));

 private:
  void Reap();
  mutable pid_t pid_ = -1;
};

// The children of a process, by the kernel's own list.
std::vector<pid_t> ChildrenOf(pid_t pid);

// Asks `condition` again and again until it is true; false after `patience`. Real processes give no
// event to wait for, so this is the one place of the tests that polls.
template <typename Condition>
bool Eventually(Condition condition, std::chrono::seconds patience = std::chrono::seconds(300));

void PausePolling();

template <typename Condition>
bool Eventually(Condition condition, std::chrono::seconds patience) {
  const auto end = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    PausePolling();
  }
  return true;
}

}  // namespace fleetune
