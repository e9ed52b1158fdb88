#include "client/trainer/confinement.h"

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <charconv>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

#include "client/trainer/syscall_filter.h"

namespace fleetune {
namespace {

std::vector<id_t> OwnThreads() {
  std::vector<id_t> threads;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) {
    const std::string name = entry.path().filename().string();
    id_t thread = 0;
    if (std::from_chars(name.data(), name.data() + name.size(), thread).ec == std::errc()) threads.push_back(thread);
  }
  return threads;
}

// Linux keeps both for each thread, and libraries start threads while they are loaded. Those that come later inherit.
void StepBack(int niceness, const std::vector<id_t>& threads) {
  if (niceness <= 0) return;
  const sched_param parameters = {};
  for (const id_t thread : threads) {
    setpriority(PRIO_PROCESS, thread, niceness);
    if (niceness >= kIdleNiceness) sched_setscheduler(static_cast<pid_t>(thread), SCHED_IDLE, &parameters);
  }
}

// An administrator's process may have a network namespace as it is, anybody else's in a user namespace of its own.
// There it is nobody, and keeps its rights to files.
void LeaveNetwork() {
  if (unshare(CLONE_NEWNET) != 0) (void)unshare(CLONE_NEWUSER | CLONE_NEWNET);
}

}  // namespace

absl::Status ConfineTrainer(int niceness) {
  const std::vector<id_t> threads = OwnThreads();
  StepBack(niceness, threads);
  if (threads.size() == 1) LeaveNetwork();
  const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  return RefuseSystemCalls();
}

}  // namespace fleetune
