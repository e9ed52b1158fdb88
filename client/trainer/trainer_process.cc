#include "client/trainer/trainer_process.h"

#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "base/status_macros.h"
#include "client/trainer/memory_wall.h"
#include "lora/train/patient_threads.h"

extern char** environ;

namespace fleetune {
namespace {

using std::chrono::milliseconds;

// Where the trainer finds its socket: the first descriptor after the standard three.
constexpr int kTrainerSocket = 3;
// For how long a trainer may not read its job, or a stop.
constexpr milliseconds kSendTimeout{30'000};
// A trainer that closed its socket is about to end; after this it is killed.
constexpr int kEndTimeoutMillis = 5'000;

absl::StatusOr<pid_t> Spawn(const TrainerProcess::Options& options, int socket) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, socket, kTrainerSocket);
  posix_spawn_file_actions_addclosefrom_np(&actions, kTrainerSocket + 1);
  std::string program = options.program;
  std::string niceness = absl::StrCat(options.niceness);
  std::string descriptor = absl::StrCat(kTrainerSocket);
  std::string name_socket = "--socket-fd", name_nice = "--nice";
  const std::array<char*, 6> arguments = {program.data(),   name_socket.data(), descriptor.data(),
                                          name_nice.data(), niceness.data(),    nullptr};
  // A process group of its own, so that Ctrl-C at a terminal reaches the daemon alone, which then decides; and no
  // signal blocked, whatever the calling thread blocks.
  sigset_t no_signals;
  sigemptyset(&no_signals);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setsigmask(&attributes, &no_signals);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
  std::vector<std::string> settings = WithPatientThreads(environ);
  // Else OpenBLAS starts its threads before main(), and a process with threads gets no namespace of its own. It starts
  // them when the job says how many.
  std::erase_if(settings, [](const std::string& entry) { return entry.starts_with("OPENBLAS_NUM_THREADS="); });
  settings.emplace_back("OPENBLAS_NUM_THREADS=1");
  std::vector<char*> environment;
  for (std::string& setting : settings) environment.push_back(setting.data());
  environment.push_back(nullptr);
  pid_t pid = 0;
  const int error =
      posix_spawn(&pid, program.c_str(), &actions, &attributes, arguments.data(), environment.data());
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  if (error == 0) return pid;
  const std::string message = absl::StrCat(program, ": ", strerror(error));
  return error == ENOENT ? absl::NotFoundError(message) : absl::UnavailableError(message);
}

// Whether the process ends within `timeout_millis`.
bool WaitForEnd(pid_t pid, int timeout_millis) {
  const int pidfd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));  // glibc 2.36 declares it for C alone
  if (pidfd < 0) return false;
  pollfd entry = {.fd = pidfd, .events = POLLIN, .revents = 0};
  int ready = 0;
  do {
    ready = poll(&entry, 1, timeout_millis);
  } while (ready < 0 && errno == EINTR);
  close(pidfd);
  return ready > 0;
}

std::string Megabytes(uint64_t bytes) { return absl::StrCat(bytes / 1'000'000, " MB"); }

std::string DescribeEnd(int status) {
  if (WIFEXITED(status)) return absl::StrCat("exit code ", WEXITSTATUS(status));
  if (WIFSIGNALED(status)) return absl::StrCat("signal ", WTERMSIG(status), " (", strsignal(WTERMSIG(status)), ")");
  return absl::StrCat("status ", status);
}

// A library that is denied memory may abort or fault, and nobody but the kernel's OOM killer and people send SIGKILL. So
// the memory that it held is said with each such end.
std::string DescribeMemory(const rusage& usage, uint64_t limit) {
  std::string text = absl::StrCat("it held at most ", Megabytes(static_cast<uint64_t>(usage.ru_maxrss) * 1024),
                                  " of memory, the mapped model included");
  if (limit > 0) absl::StrAppend(&text, "; ", Megabytes(limit), " of its own were allowed");
  return text;
}

}  // namespace

absl::StatusOr<std::unique_ptr<TrainerProcess>> TrainerProcess::Start(const Options& options,
                                                                      const TrainingJob& job) {
  std::array<int, 2> ends;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    return absl::UnavailableError(absl::StrCat("a socket for the trainer: ", strerror(errno)));
  }
  JobChannel ours(ends[0]);
  const absl::StatusOr<pid_t> pid = Spawn(options, ends[1]);
  close(ends[1]);
  RETURN_IF_ERROR(pid.status());
  std::unique_ptr<TrainerProcess> process(new TrainerProcess(*pid, job.memory_limit_bytes, std::move(ours)));
  const absl::Status sent = process->channel_.Send(job, kSendTimeout);
  if (sent.ok()) return process;
  if (absl::IsResourceExhausted(sent)) return sent;
  // It may have said why it does not want it.
  const auto last = process->channel_.Receive(milliseconds(0));
  const auto* failed = last.ok() && last->has_value() ? std::get_if<TrainingFailed>(&**last) : nullptr;
  if (failed != nullptr) return failed->status;
  return process->Ended(std::string(sent.message()));
}

TrainerProcess::~TrainerProcess() {
  if (reaped_) return;
  if (!finished_) kill(pid_, SIGKILL);  // else it is about to end by itself
  (void)Ended("no longer needed");
}

absl::StatusOr<std::optional<TrainerEvent>> TrainerProcess::Next(milliseconds timeout) {
  if (finished_) return absl::FailedPreconditionError("the trainer has answered already");
  if (reaped_) return absl::UnavailableError("the trainer was killed");
  absl::StatusOr<std::optional<JobMessage>> message = channel_.Receive(timeout);
  if (!message.ok()) {
    if (!absl::IsUnavailable(message.status())) Kill();
    return reaped_ ? absl::UnavailableError(absl::StrCat("the trainer sent what is no event: ",
                                                         std::string(message.status().message())))
                   : Ended("it closed its socket without an answer");
  }
  if (!message->has_value()) return std::nullopt;
  if (const auto* progress = std::get_if<TrainingProgress>(&**message)) return *progress;
  if (auto* begun = std::get_if<TrainingBegun>(&**message)) return std::move(*begun);
  if (const auto* paused = std::get_if<TrainingPaused>(&**message)) return *paused;
  if (auto* checkpoint = std::get_if<TrainingCheckpoint>(&**message)) return std::move(*checkpoint);
  if (auto* done = std::get_if<TrainingDone>(&**message)) {
    finished_ = true;
    return std::move(*done);
  }
  if (const auto* failed = std::get_if<TrainingFailed>(&**message)) {
    finished_ = true;
    return *failed;
  }
  Kill();
  return absl::UnavailableError("the trainer sent what only a daemon says");
}

absl::Status TrainerProcess::Wish(const JobMessage& wish) {
  if (reaped_) return absl::UnavailableError("the trainer is gone");
  return channel_.Send(wish, kSendTimeout);
}

absl::Status TrainerProcess::Stop() { return Wish(StopTraining{}); }
absl::Status TrainerProcess::Pause() { return Wish(PauseTraining{}); }
absl::Status TrainerProcess::Resume() { return Wish(ResumeTraining{}); }

uint64_t TrainerProcess::MemoryBytes() const { return reaped_ ? 0 : ReadOwnMemory(pid_).used_bytes; }

void TrainerProcess::Kill() {
  if (reaped_) return;
  kill(pid_, SIGKILL);
  (void)Ended("killed");
}

absl::Status TrainerProcess::Ended(const std::string& what) {
  channel_ = JobChannel(-1);
  if (!WaitForEnd(pid_, kEndTimeoutMillis)) kill(pid_, SIGKILL);
  int status = 0;
  rusage usage{};
  pid_t reaped = 0;
  do {
    reaped = wait4(pid_, &status, 0, &usage);
  } while (reaped < 0 && errno == EINTR);
  reaped_ = true;
  if (reaped != pid_) return absl::UnavailableError(absl::StrCat("the trainer ended (unknown): ", what));
  if (WIFEXITED(status) && WEXITSTATUS(status) == kOutOfMemoryExit) {
    return absl::ResourceExhaustedError(
        absl::StrCat("the trainer died for want of memory: ", DescribeMemory(usage, memory_limit_bytes_)));
  }
  const std::string memory =
      WIFSIGNALED(status) ? absl::StrCat("; ", DescribeMemory(usage, memory_limit_bytes_)) : std::string();
  return absl::UnavailableError(absl::StrCat("the trainer ended (", DescribeEnd(status), "): ", what, memory));
}

}  // namespace fleetune
