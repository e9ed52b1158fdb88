#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <variant>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/trainer/job_channel.h"
#include "client/trainer/job_message.h"

namespace fleetune {

using TrainerEvent =
    std::variant<TrainingBegun, TrainingProgress, TrainingPaused, TrainingCheckpoint, TrainingDone, TrainingFailed>;

// One `fleetune-trainer` at work on one job: a process of its own, at low priority, with no descriptor of the
// daemon but its socket. Whatever happens to it costs the attempt only. Not thread-safe.
class TrainerProcess {
 public:
  struct Options {
    std::string program;  // path of fleetune-trainer
    int niceness = 19;    // 0 .. 19; at 19 it also runs under SCHED_IDLE, when nothing else wants the core
  };

  // Starts the process and hands it the job. NotFound (no such program), Unavailable (it could not be
  // started, or died before it took the job), ResourceExhausted (job over a limit, the record at fault by its number),
  // FailedPrecondition (it cannot be confined: confinement.h).
  static absl::StatusOr<std::unique_ptr<TrainerProcess>> Start(const Options& options, const TrainingJob& job);

  // Kills the process if it still runs.
  ~TrainerProcess();
  TrainerProcess(const TrainerProcess&) = delete;
  TrainerProcess& operator=(const TrainerProcess&) = delete;

  // The next event, or nothing if none comes within `timeout`. TrainingDone and TrainingFailed are the last;
  // past them, FailedPrecondition. Unavailable, with its exit code or signal and the most memory that it held, if the
  // process ended without either, was killed, or sent nonsense (it is killed then): the same job may be tried again.
  // ResourceExhausted, with what it was allowed, if it died for want of memory (memory_wall.h).
  absl::StatusOr<std::optional<TrainerEvent>> Next(std::chrono::milliseconds timeout);

  // Asks it to stop, to pause or to go on, between two forward passes: job_message.h. Unavailable if it is gone.
  absl::Status Stop();
  absl::Status Pause();
  absl::Status Resume();

  // Readable when Next() has something to say; -1 after the end.
  int fd() const { return channel_.fd(); }

  // Ends it at once. Next() is Unavailable then.
  void Kill();

  // Of its own that it holds now, the mapped model not counted; 0 if it is gone.
  uint64_t MemoryBytes() const;

  pid_t pid() const { return pid_; }

 private:
  TrainerProcess(pid_t pid, uint64_t memory_limit_bytes, JobChannel channel)
      : pid_(pid), memory_limit_bytes_(memory_limit_bytes), channel_(std::move(channel)) {}
  absl::Status Ended(const std::string& what);  // reaps, and says how it ended
  absl::Status Wish(const JobMessage& wish);

  const pid_t pid_;
  const uint64_t memory_limit_bytes_;  // of the job
  JobChannel channel_;
  bool reaped_ = false;
  bool finished_ = false;  // TrainingDone or TrainingFailed was given
};

}  // namespace fleetune
