// fleetune-trainer: one local training, for the daemon that started it. Reads its job from an inherited socket, answers on
// it, and ends. Knows no network and no file but the model.

#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include <charconv>
#include <chrono>
#include <cstdio>
#include <new>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/trainer/job_channel.h"
#include "client/trainer/job_runner.h"

namespace {

using std::chrono::milliseconds;

constexpr milliseconds kJobTimeout{60'000};
constexpr milliseconds kSendTimeout{60'000};
constexpr int kWrongUse = 2;
constexpr int kIdleNiceness = 19;

struct Arguments {
  int socket = -1;
  int niceness = 0;
};

std::optional<Arguments> ParseArguments(int argc, char** argv) {
  Arguments arguments;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string_view name = argv[i];
    const std::string_view text = argv[i + 1];
    int value = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), value).ptr != text.data() + text.size()) return {};
    if (name == "--socket-fd") {
      arguments.socket = value;
    } else if (name == "--nice") {
      arguments.niceness = value;
    } else {
      return {};
    }
  }
  if (argc % 2 == 0 || arguments.socket < 0) return {};
  return arguments;
}

// What the process may do from here on: it holds private text, so it leaves no core file, and gains no privilege.
void GiveUpRights(int niceness) {
  const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (niceness > 0) setpriority(PRIO_PROCESS, 0, niceness);
  const sched_param parameters = {};
  if (niceness >= kIdleNiceness) sched_setscheduler(0, SCHED_IDLE, &parameters);
}

void LimitMemory(uint64_t bytes) {
  if (bytes == 0) return;
  // Not RLIMIT_AS: the mapped model and LibTorch's own mappings would count.
  const rlimit limit = {.rlim_cur = bytes, .rlim_max = bytes};
  setrlimit(RLIMIT_DATA, &limit);
}

// Whether the daemon is there and has not asked to stop.
bool ShouldGoOn(fleetune::JobChannel& channel) {
  const auto message = channel.Receive(milliseconds(0));
  return message.ok() && !message->has_value();
}

// Under a limit of memory any allocation may fail, also those before LibTorch's.
absl::StatusOr<fleetune::TrainingDone> Run(const fleetune::TrainingJob& job, fleetune::JobChannel& channel) {
  try {
    return fleetune::RunTrainingJob(job, [&](const fleetune::TrainingProgress& progress) {
      return channel.Send(progress, kSendTimeout).ok() && ShouldGoOn(channel);
    });
  } catch (const std::bad_alloc&) {
    return absl::ResourceExhaustedError("the trainer is out of memory");
  }
}

int Serve(fleetune::JobChannel& channel) {
  const auto message = channel.Receive(kJobTimeout);
  const fleetune::TrainingJob* job =
      message.ok() && message->has_value() ? std::get_if<fleetune::TrainingJob>(&**message) : nullptr;
  if (job == nullptr) {
    std::fprintf(stderr, "fleetune-trainer: no job came: %s\n", message.status().ToString().c_str());
    return 1;
  }
  LimitMemory(job->memory_limit_bytes);
  const auto done = Run(*job, channel);
  const absl::Status sent = done.ok() ? channel.Send(*done, kSendTimeout)
                                      : channel.Send(fleetune::TrainingFailed{done.status()}, kSendTimeout);
  return sent.ok() ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  constexpr char kUsage[] =
      "fleetune-trainer trains once, then ends. fleetune-client starts it and hands it its job through a socket.\n"
      "usage: fleetune-trainer --socket-fd N [--nice 0..19]\n";
  if (argc == 2 && (argv[1] == std::string_view("--help") || argv[1] == std::string_view("-h"))) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  const std::optional<Arguments> arguments = ParseArguments(argc, argv);
  if (!arguments.has_value()) {
    std::fputs(kUsage, stderr);
    return kWrongUse;
  }
  GiveUpRights(arguments->niceness);
  fleetune::JobChannel channel(arguments->socket);
  return Serve(channel);
}
